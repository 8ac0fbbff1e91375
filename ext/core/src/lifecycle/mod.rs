//! The life of a server, from boot to exit, as a pure value: events and the time go in, actions come out.
//!
//! ```text
//! Booting ─booted─▶ Ready ─TERM, QUIT, drain─▶ Draining ─delay over, 2nd signal─▶ Closing ─emptied─▶ Stopped
//!                     ├───────────INT, stop──────────────────────────────────────┘ └─deadline, 3rd signal─▶ Forcing ─▶ Stopped
//!                     └─retire─▶ Retiring ─emptied─▶ Stopped
//! ```
//!
//! Only a worker of a cluster retires: the cluster goes on. When the cluster drains meanwhile, the worker closes with it.
//!
//! States only move forward. Nothing here reads a clock, does I/O or knows a connection.

mod phase;
pub(crate) mod plan;
mod signal;

use std::{
    fmt,
    time::{Duration, Instant},
};

use self::plan::{MIN_DELAY, Plan, SETTLE_MAX};
pub use self::{phase::Phase, signal::Signal};

/// How long a forced end may take before the server counts as stopped all the same.
const FORCING: Duration = Duration::from_millis(500);
/// How long the process may live on after a forced end: the plan's time is over already.
const FORCED_EXIT: Duration = Duration::from_millis(500);

/// Something that moves the life on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Listening, and a worker can take the first request.
    Booted,
    /// A signal came.
    Signal(Signal),
    /// The embedding program asks for a drain, as SIGTERM would.
    Drain,
    /// The embedding program asks for a stop without the delay, as SIGINT would.
    Stop,
    /// A worker of a cluster leaves it, and its siblings go on.
    Retire,
    /// In a drain: all clients that sent connections have fallen silent.
    Quiet,
    /// The drain delay is over, and new connections still come.
    StillArriving {
        /// When the last of them came.
        last: Instant,
        /// What requests in flight need of the budget.
        reserve: Duration,
    },
    /// Listeners closed, no connection left.
    Emptied {
        /// Whether a request was cut on the way.
        cut: bool,
    },
    /// The instant of `Lifecycle::deadline` has come.
    DeadlineReached {
        /// Whether a request is still unfinished.
        unfinished: bool,
    },
}

/// What the driver has to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Tell connections and probes the new phase, and the operator why it came.
    Announce(Phase, Cause),
    /// Let no new connection in, empty the accept queues, close the listeners.
    CloseListeners,
    /// Accept nothing more on listeners that the siblings go on with.
    LeaveListeners,
    /// Tell connections and probes that the drain goes on until then.
    Extend(Phase),
    /// Refuse or cut what is left.
    Force,
    /// A signal changed nothing; tell the operator what one more would do.
    Unmoved(Signal),
}

/// Why a phase was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server is up.
    Booted,
    /// A signal.
    Signal(Signal),
    /// A call of the embedding program.
    Request,
    /// No client sends connections any more.
    Quiet,
    /// The phase before has lasted as long as planned.
    TimeIsUp,
    /// Nothing is left to do.
    Emptied,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booted => f.write_str("booted"),
            Self::Signal(signal) => signal.fmt(f),
            Self::Request => f.write_str("asked to stop"),
            Self::Quiet => f.write_str("no more connections come"),
            Self::TimeIsUp => f.write_str("time is up"),
            Self::Emptied => f.write_str("nothing left"),
        }
    }
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    plan: Plan,
    phase: Phase,
    /// When the first request to stop came; the platform's budget runs from there.
    stopping_since: Option<Instant>,
    /// When everything new stopped being served.
    closing_since: Option<Instant>,
    signals: u32,
    interrupts: u32,
    /// Whether the process is to end with the server: a signal or the platform's hook has asked for that, and not the
    /// program that the server is a part of.
    ends_process: bool,
    /// When a forced end is over at the latest.
    forced_until: Option<Instant>,
    retirement: Retirement,
    /// When what is left is cut, once the worker has left its cluster.
    retiring_until: Option<Instant>,
}

/// How a worker leaves its cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retirement {
    /// How long what is in flight may take.
    pub(crate) timeout: Duration,
    /// Whether connections at rest are given to siblings.
    pub(crate) hands_over: bool,
}

impl Lifecycle {
    /// A server that has not booted.
    pub(crate) fn new(plan: Plan, retirement: Retirement) -> Self {
        Self {
            plan,
            phase: Phase::Booting,
            stopping_since: None,
            closing_since: None,
            signals: 0,
            interrupts: 0,
            ends_process: false,
            forced_until: None,
            retirement,
            retiring_until: None,
        }
    }

    /// Where the server is.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// When [`Event::DeadlineReached`] is due, if nothing comes before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Booting | Phase::Ready | Phase::Stopped { .. } => None,
            Phase::Draining { until, .. } | Phase::Forcing { until } => Some(until),
            Phase::Retiring { deadline, .. } | Phase::Closing { deadline, .. } => Some(deadline),
        }
    }

    /// Whether the server was told to stop, and not only to leave its cluster.
    pub(crate) fn has_drained(&self) -> bool {
        self.stopping_since.is_some()
    }

    /// When a process that is the server's own has to be gone, whatever its interpreter does; `None` as long as it goes on, or
    /// may go on without the server. The server's own end, which may come much earlier, leaves it the whole time: what the
    /// app has registered for the exit runs then.
    pub(crate) fn gone_by(&self, now: Instant) -> Option<Instant> {
        if !self.ends_process || !self.phase.refuses_new() {
            return None;
        }
        let limit = match (self.stopping_since, self.retiring_until, self.plan.gone_after(), self.phase) {
            (Some(since), _, Some(budget), _) => since + budget,
            (Some(_), _, None, Phase::Closing { deadline, .. }) => deadline + FORCING + Plan::exit_limit(),
            (Some(_), _, None, _) => now + Plan::exit_limit(),
            // No platform has asked for this end.
            (None, Some(deadline), ..) => deadline + FORCING + Plan::exit_limit(),
            (None, None, ..) => return None,
        };
        match (self.forced_until, self.phase) {
            (Some(_), Phase::Stopped { status: 0 }) | (None, _) => Some(limit),
            (Some(forced), _) => Some(limit.min(forced + FORCED_EXIT)),
        }
    }

    /// How long everything new was served after the first request to stop.
    pub(crate) fn drained_for(&self) -> Duration {
        match (self.stopping_since, self.closing_since) {
            (Some(since), Some(until)) => until.saturating_duration_since(since),
            _ => Duration::ZERO,
        }
    }

    /// Takes in what happened at `now`, and says what to do. For a signal, `now` is the moment it was delivered.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Booted => match self.phase {
                Phase::Booting => self.enter(Phase::Ready, Cause::Booted),
                _ => Vec::new(),
            },
            Event::Signal(signal) => self.signalled(signal, now),
            Event::Drain => {
                self.ends_process = true;
                self.stop_from(Cause::Request, now, self.plan.drain_delay)
            }
            Event::Stop => self.stop_from(Cause::Request, now, Duration::ZERO),
            Event::Retire => self.retire(now),
            Event::Quiet => match self.phase {
                Phase::Draining { .. } => self.close(Cause::Quiet, now),
                _ => Vec::new(),
            },
            Event::StillArriving { last, reserve } => self.extend(last, reserve, now),
            Event::Emptied { cut } => match self.phase {
                Phase::Retiring { .. } | Phase::Closing { .. } | Phase::Forcing { .. } => {
                    self.enter(Phase::Stopped { status: cut.into() }, Cause::Emptied)
                }
                _ => Vec::new(),
            },
            Event::DeadlineReached { unfinished } => self.deadline_reached(now, unfinished),
        }
    }

    fn signalled(&mut self, signal: Signal, now: Instant) -> Vec<Action> {
        if signal == Signal::Hup && self.phase.is_stopping() {
            return vec![Action::Unmoved(signal)];
        }
        self.signals += 1;
        self.ends_process = true;
        self.interrupts += u32::from(signal == Signal::Int);
        let cause = Cause::Signal(signal);
        match self.phase {
            Phase::Booting | Phase::Ready => {
                let delay = match signal {
                    Signal::Term | Signal::Quit => self.plan.drain_delay,
                    Signal::Int | Signal::Hup => Duration::ZERO,
                };
                self.stop_from(cause, now, delay)
            }
            Phase::Retiring { .. } => self.stop_from(cause, now, Duration::ZERO),
            // A first signal after a drain that was asked for is the platform's, which goes on as planned.
            Phase::Draining { .. } if self.signals >= 2 || signal == Signal::Int => self.close(cause, now),
            Phase::Closing { .. } if self.signals >= 3 || self.interrupts >= 2 => self.force(cause, now),
            Phase::Draining { .. } | Phase::Closing { .. } | Phase::Forcing { .. } | Phase::Stopped { .. } => {
                vec![Action::Unmoved(signal)]
            }
        }
    }

    /// The first request to stop, or one that shortens the delay already running.
    fn stop_from(&mut self, cause: Cause, now: Instant, delay: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Booting => self.enter(Phase::Stopped { status: 0 }, cause),
            Phase::Ready => {
                self.stopping_since = Some(now);
                if delay.is_zero() {
                    self.close(cause, now)
                } else {
                    let pace = if self.plan.drain_until_quiet { delay.min(2 * MIN_DELAY) } else { delay };
                    self.enter(Phase::Draining { since: now, pace, until: now + delay }, cause)
                }
            }
            // Nothing new comes here any more: what the delay is for, the siblings do.
            Phase::Retiring { .. } => {
                self.stopping_since = Some(now);
                self.close(cause, now)
            }
            Phase::Draining { .. } if delay.is_zero() => self.close(cause, now),
            Phase::Draining { .. } | Phase::Closing { .. } | Phase::Forcing { .. } | Phase::Stopped { .. } => {
                Vec::new()
            }
        }
    }

    /// A worker that is told to stop already goes on with that.
    fn retire(&mut self, now: Instant) -> Vec<Action> {
        let deadline = now + self.retirement.timeout;
        match self.phase {
            Phase::Booting => self.enter(Phase::Stopped { status: 0 }, Cause::Request),
            Phase::Ready => {
                self.ends_process = true;
                self.retiring_until = Some(deadline);
                let hands_over = self.retirement.hands_over;
                let mut actions = self.enter(Phase::Retiring { since: now, deadline, hands_over }, Cause::Request);
                actions.push(Action::LeaveListeners);
                actions
            }
            _ => Vec::new(),
        }
    }

    fn deadline_reached(&mut self, now: Instant, unfinished: bool) -> Vec<Action> {
        match self.phase {
            Phase::Draining { until, .. } if now >= until => self.close(Cause::TimeIsUp, now),
            Phase::Retiring { deadline, .. } | Phase::Closing { deadline, .. } if now >= deadline => {
                self.force(Cause::TimeIsUp, now)
            }
            Phase::Forcing { until } if now >= until => {
                self.enter(Phase::Stopped { status: unfinished.into() }, Cause::TimeIsUp)
            }
            _ => Vec::new(),
        }
    }

    /// The drain goes on while connections come, as far as the budget allows.
    fn extend(&mut self, last: Instant, reserve: Duration, now: Instant) -> Vec<Action> {
        let Phase::Draining { since, pace, until } = self.phase else { return Vec::new() };
        if now < until {
            return Vec::new();
        }
        let limit = match self.plan.budget {
            Some(budget) => budget.saturating_sub(reserve + SETTLE_MAX),
            None => 2 * self.plan.drain_delay,
        };
        let until = (last + self.plan.extension()).min(since + limit);
        if until <= now {
            return self.close(Cause::TimeIsUp, now);
        }
        self.phase = Phase::Draining { since, pace, until };
        vec![Action::Extend(self.phase)]
    }

    fn close(&mut self, cause: Cause, now: Instant) -> Vec<Action> {
        self.closing_since = Some(now);
        let planned = now + self.plan.shutdown_timeout;
        let planned = self.retiring_until.map_or(planned, |deadline| planned.min(deadline)).max(now);
        let deadline = match (self.plan.budget, self.stopping_since) {
            (Some(budget), Some(since)) => planned.min(since + budget).max(now),
            _ => planned,
        };
        let gently = match cause {
            Cause::Signal(Signal::Term | Signal::Quit) => self.signals < 2,
            Cause::Request if self.retiring_until.is_some() => true,
            Cause::Signal(Signal::Int | Signal::Hup) | Cause::Request => false,
            Cause::Booted | Cause::Quiet | Cause::TimeIsUp | Cause::Emptied => true,
        };
        let mut actions = self.enter(Phase::Closing { since: now, deadline, gently }, cause);
        if self.retiring_until.is_none() {
            actions.push(Action::CloseListeners);
        }
        actions
    }

    fn force(&mut self, cause: Cause, now: Instant) -> Vec<Action> {
        let until = now + FORCING;
        self.forced_until = Some(until);
        let mut actions = self.enter(Phase::Forcing { until }, cause);
        actions.push(Action::Force);
        actions
    }

    fn enter(&mut self, phase: Phase, cause: Cause) -> Vec<Action> {
        self.phase = phase;
        vec![Action::Announce(phase, cause)]
    }
}

#[cfg(test)]
mod tests;
