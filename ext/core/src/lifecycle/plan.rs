//! The shutdown plan: how long to keep serving after SIGTERM and how long to finish, inside the time the
//! platform leaves between SIGTERM and SIGKILL. Pure arithmetic, done once at boot.

use std::{fmt, time::Duration};

use crate::config::{OrAuto, PlanOptions, Platform};

/// Kept back from the platform's grace period, so that the process is gone before SIGKILL would come.
const EXIT_MARGIN: Duration = Duration::from_secs(2);
/// How much of that is left when the process has to be gone, whatever the interpreter does.
const BEFORE_KILL: Duration = Duration::from_secs(1);
/// How long the process may take to end after its server, where no platform sets a limit.
const EXIT_LIMIT: Duration = Duration::from_secs(30);
/// The longest automatic delay. Endpoint changes reach all of a cluster's nodes well within it.
const AUTO_DELAY_MAX: Duration = Duration::from_secs(10);
/// The least time that a drain serves everything new where it may end early.
pub(crate) const MIN_DELAY: Duration = Duration::from_secs(2);
/// The longest that the closing of the listeners waits for handshakes under way.
pub(crate) const SETTLE_MAX: Duration = Duration::from_millis(500);
/// The last part of the delay: a client that still comes in it may well come after it.
const LATE_PART: f64 = 0.2;
/// How long an extended drain goes on at least after a new connection.
const EXTENSION_MIN: Duration = Duration::from_secs(1);
/// Time for requests in flight where no platform sets a limit.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

impl Platform {
    /// The time from SIGTERM to SIGKILL where the operator has not said it.
    fn grace(self) -> Option<Duration> {
        match self {
            Self::Kubernetes => Some(Duration::from_secs(30)),
            Self::Container => Some(Duration::from_secs(10)),
            Self::Plain => None,
        }
    }
}

/// The delays that a drain keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How long everything new is served after SIGTERM.
    pub drain_delay: Duration,
    /// How long requests in flight may take after that.
    pub shutdown_timeout: Duration,
    /// All there is from SIGTERM to the exit, where a platform sets it.
    pub budget: Option<Duration>,
    /// Whether the delay ends when no client sends new connections any more, and goes on while some do.
    pub drain_until_quiet: bool,
}

/// A setting that does not fit into the platform's grace period: it was cut down, or what was assumed of the platform gives way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamped {
    setting: &'static str,
    asked: Duration,
    /// What is used of it. All: the grace period is assumed, and has to be longer.
    used: Duration,
    budget: Duration,
    grace: Duration,
    prestop: Duration,
    assumed: bool,
}

impl Plan {
    /// Fits what was asked for into what `platform` allows, and tells what does not. A delay that is too long is cut, because a
    /// process that is killed within it loses requests that come later. A timeout is cut only where the operator has said what the
    /// platform gives: their own number counts for more than a guess.
    pub fn resolve(options: PlanOptions, platform: Platform) -> (Self, Vec<Clamped>) {
        let drain_until_quiet = options.drain_until_quiet;
        let (grace, assumed) = match options.termination_grace {
            OrAuto::Value(grace) => (Some(grace), false),
            OrAuto::Auto => (platform.grace(), true),
        };
        let Some(grace) = grace else {
            let drain_delay = options.drain_delay.value().unwrap_or_default();
            let shutdown_timeout = options.shutdown_timeout.value().unwrap_or(DEFAULT_TIMEOUT);
            return (Self { drain_delay, shutdown_timeout, budget: None, drain_until_quiet }, Vec::new());
        };
        let mut budget = grace.saturating_sub(options.prestop).saturating_sub(EXIT_MARGIN);
        let mut clamped = Vec::new();
        let mut cut = |setting, asked, used| {
            clamped.push(Clamped { setting, asked, used, budget, grace, prestop: options.prestop, assumed });
            used
        };
        let drain_delay = match options.drain_delay {
            OrAuto::Auto if platform == Platform::Kubernetes => AUTO_DELAY_MAX.min(budget / 3),
            OrAuto::Auto => Duration::ZERO,
            OrAuto::Value(delay) if !delay.is_zero() && delay + Duration::from_secs(1) > budget => {
                cut("drain_delay", delay, budget.saturating_sub(Duration::from_secs(5).min(budget / 2)))
            }
            OrAuto::Value(delay) => delay,
        };
        let left = budget - drain_delay;
        let shutdown_timeout = match options.shutdown_timeout {
            OrAuto::Auto => left,
            OrAuto::Value(timeout) if timeout > left => {
                let used = cut("shutdown_timeout", timeout, if assumed { timeout } else { left });
                budget = drain_delay + used;
                used
            }
            OrAuto::Value(timeout) => timeout,
        };
        (Self { drain_delay, shutdown_timeout, budget: Some(budget), drain_until_quiet }, clamped)
    }

    /// How long after the first request to stop the process has to be gone, where a platform kills it a second later.
    pub(crate) fn gone_after(&self) -> Option<Duration> {
        self.budget.map(|budget| budget + EXIT_MARGIN - BEFORE_KILL)
    }

    /// How long the process may live on after its server, where no platform kills it.
    pub(crate) fn exit_limit() -> Duration {
        EXIT_LIMIT
    }

    /// How long a boot may go on after the signal that is to end it.
    pub fn boot_end(&self) -> Duration {
        self.gone_after().unwrap_or(EXIT_LIMIT)
    }

    /// The last part of the delay, in which a new connection is a bad sign.
    pub(crate) fn late_part(&self) -> Duration {
        self.drain_delay.mul_f64(LATE_PART)
    }

    /// How long an extended drain goes on after a new connection.
    pub(crate) fn extension(&self) -> Duration {
        self.late_part().max(EXTENSION_MIN)
    }
}

impl fmt::Display for Clamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.used == self.asked {
            return write!(
                f,
                "{} {:.1} s is kept, although platforms like this one give {:.1} s from TERM to KILL unless they are told to wait longer: \
                 have it wait (stop_grace_period, terminationGracePeriodSeconds), and say so with termination_grace",
                self.setting,
                self.asked.as_secs_f64(),
                self.grace.as_secs_f64(),
            );
        }
        write!(
            f,
            "{} {:.1} s does not fit: the platform gives {:.1} s{}, less {:.1} s for preStop and {:.1} s to exit leaves {:.1} s; using {:.1} s",
            self.setting,
            self.asked.as_secs_f64(),
            self.grace.as_secs_f64(),
            if self.assumed { " (assumed: set termination_grace to what it really gives)" } else { "" },
            self.prestop.as_secs_f64(),
            EXIT_MARGIN.as_secs_f64(),
            self.budget.as_secs_f64(),
            self.used.as_secs_f64(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn has_no_delay_outside_kubernetes() {
        let (plan, clamped) = Plan::resolve(PlanOptions::default(), Platform::Plain);
        assert_eq!(plan, Plan { drain_delay: s(0), shutdown_timeout: s(30), budget: None, drain_until_quiet: false });
        assert!(clamped.is_empty());
        let (plan, _) = Plan::resolve(PlanOptions::default(), Platform::Container);
        assert_eq!(
            plan,
            Plan { drain_delay: s(0), shutdown_timeout: s(8), budget: Some(s(8)), drain_until_quiet: false }
        );
    }

    #[test]
    fn takes_a_third_of_the_budget_in_kubernetes_and_never_more_than_ten_seconds() {
        let (plan, _) = Plan::resolve(PlanOptions::default(), Platform::Kubernetes);
        assert_eq!(plan.budget, Some(s(28)));
        assert_eq!(plan.drain_delay, s(28) / 3);
        assert_eq!(plan.drain_delay + plan.shutdown_timeout, s(28));
        let options = PlanOptions { termination_grace: OrAuto::Value(s(120)), ..PlanOptions::default() };
        assert_eq!(Plan::resolve(options, Platform::Kubernetes).0.drain_delay, s(10));
    }

    #[test]
    fn counts_what_a_prestop_hook_has_used() {
        let options = PlanOptions { prestop: s(8), ..PlanOptions::default() };
        assert_eq!(Plan::resolve(options, Platform::Kubernetes).0.budget, Some(s(20)));
    }

    #[test]
    fn cuts_a_delay_that_does_not_fit_and_names_the_numbers() {
        let options = PlanOptions { drain_delay: OrAuto::Value(s(40)), ..PlanOptions::default() };
        let (plan, clamped) = Plan::resolve(options, Platform::Kubernetes);
        assert_eq!(
            plan,
            Plan { drain_delay: s(23), shutdown_timeout: s(5), budget: Some(s(28)), drain_until_quiet: false }
        );
        let text = clamped[0].to_string();
        for part in ["drain_delay 40.0 s", "gives 30.0 s", "leaves 28.0 s", "using 23.0 s", "termination_grace"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn cuts_a_timeout_that_does_not_fit_behind_the_delay() {
        let options = PlanOptions {
            shutdown_timeout: OrAuto::Value(s(60)),
            termination_grace: OrAuto::Value(s(30)),
            ..PlanOptions::default()
        };
        let (plan, clamped) = Plan::resolve(options, Platform::Kubernetes);
        assert_eq!(plan.drain_delay + plan.shutdown_timeout, s(28));
        assert_eq!(plan.budget, Some(s(28)));
        assert_eq!(clamped.len(), 1);
        assert!(clamped[0].to_string().contains("does not fit"), "{}", clamped[0]);
    }

    /// A request of eleven seconds was cut after eight, because Docker waits ten unless it is told otherwise: it was.
    #[test]
    fn keeps_a_timeout_that_only_does_not_fit_into_what_is_assumed() {
        let options = PlanOptions { shutdown_timeout: OrAuto::Value(s(25)), ..PlanOptions::default() };
        let (plan, clamped) = Plan::resolve(options, Platform::Container);
        assert_eq!(
            plan,
            Plan { drain_delay: s(0), shutdown_timeout: s(25), budget: Some(s(25)), drain_until_quiet: false }
        );
        let text = clamped[0].to_string();
        for part in ["shutdown_timeout 25.0 s is kept", "give 10.0 s", "termination_grace"] {
            assert!(text.contains(part), "{text}");
        }
        let (plan, _) = Plan::resolve(options, Platform::Kubernetes);
        assert_eq!((plan.drain_delay, plan.shutdown_timeout, plan.budget), (s(28) / 3, s(25), Some(s(28) / 3 + s(25))));
        let options = PlanOptions { shutdown_timeout: OrAuto::Value(s(5)), ..PlanOptions::default() };
        assert!(Plan::resolve(options, Platform::Container).1.is_empty());
    }

    #[test]
    fn survives_a_grace_shorter_than_its_margin() {
        let options = PlanOptions {
            termination_grace: OrAuto::Value(s(1)),
            drain_delay: OrAuto::Value(s(5)),
            ..PlanOptions::default()
        };
        let (plan, clamped) = Plan::resolve(options, Platform::Plain);
        assert_eq!(
            plan,
            Plan { drain_delay: s(0), shutdown_timeout: s(0), budget: Some(s(0)), drain_until_quiet: false }
        );
        assert_eq!(clamped.len(), 1);
    }
}
