//! The traffic as a drain sees it: when the last new connection came and from which address, whether it came late, and whether
//! more are to be expected. Probes are no traffic: they go on for as long as the process does.

pub(crate) mod arrivals;
pub(crate) mod recent_durations;

use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::{
    drain::{
        arrivals::{Arrivals, EPSILON, Source},
        recent_durations::RecentDurations,
    },
    lifecycle::plan::Plan,
    stats::Snapshot,
};

/// The least time that is kept back for requests in flight when a drain is extended.
const RESERVE_MIN: Duration = Duration::from_secs(1);

/// Shared by the connections, which report, and the driver, which asks; nearly always on one thread.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// Whether the drain's end depends on the traffic; only then are sources and durations recorded.
    until_quiet: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    arrivals: Arrivals,
    /// How long requests took.
    durations: RecentDurations,
    last: Option<Arrival>,
    drain: Option<Drain>,
}

/// A connection that came, and asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// When it was accepted.
    pub(crate) at: Instant,
    /// From where; `None` for a Unix socket.
    pub(crate) source: Source,
}

/// A drain, as far as it has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    /// When the server was told to stop.
    pub(crate) begun: Instant,
    /// The counters at that moment.
    pub(crate) before: Snapshot,
    /// From when on a connection is a late one; `None` where there is no delay to be late in.
    late_from: Option<Instant>,
    /// How many connections came in the last part of the delay, or after it.
    pub(crate) late: u64,
    /// Whether a request was ended by force, without a whole response.
    cut: bool,
}

impl Traffic {
    /// Nothing came yet. With `until_quiet` each source's rate and the duration of requests are recorded.
    pub(crate) fn new(until_quiet: bool) -> Self {
        let seen =
            Seen { arrivals: Arrivals::new(EPSILON), durations: RecentDurations::default(), last: None, drain: None };
        Self { until_quiet, seen: Mutex::new(seen) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // No code that can panic runs under this lock.
        self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A connection accepted at `at` has sent its first request, which is no probe.
    pub(crate) fn arrived(&self, source: Source, at: Instant) {
        let mut seen = self.seen();
        if seen.last.is_none_or(|last| last.at <= at) {
            seen.last = Some(Arrival { at, source });
        }
        if let Some(drain) = &mut seen.drain
            && drain.late_from.is_some_and(|from| at >= from)
        {
            drain.late += 1;
        }
        if self.until_quiet {
            seen.arrivals.arrived(source, at);
        }
    }

    /// A request that came at `received` has been answered at `now`, or never will be.
    pub(crate) fn answered(&self, received: Instant, now: Instant) {
        if self.until_quiet {
            self.seen().durations.record(now.saturating_duration_since(received), now);
        }
    }

    /// The server was told to stop, and serves everything new for a while.
    pub(crate) fn drain_begins(&self, at: Instant, plan: &Plan, before: Snapshot) {
        let mut seen = self.seen();
        if seen.drain.is_some() {
            return;
        }
        let late_from = at + plan.drain_delay.saturating_sub(plan.late_part());
        let late_from = (!plan.drain_delay.is_zero()).then_some(late_from);
        seen.drain = Some(Drain { begun: at, before, late_from, late: 0, cut: false });
        if self.until_quiet {
            seen.arrivals.drain_begins(at, plan.drain_delay);
        }
    }

    /// The drain's end is forced, and a request is ended without a whole response.
    pub(crate) fn request_cut(&self) {
        if let Some(drain) = &mut self.seen().drain {
            drain.cut = true;
        }
    }

    /// Whether the drain has cut a request, which is what the process's exit status tells.
    pub(crate) fn has_cut(&self) -> bool {
        self.seen().drain.is_some_and(|drain| drain.cut)
    }

    /// The drain; `None` as long as there is none.
    pub(crate) fn drain(&self) -> Option<Drain> {
        self.seen().drain
    }

    /// When all sources will count as silent, if no connection comes until then; `None` where that cannot be told.
    pub(crate) fn quiet_at(&self) -> Option<Instant> {
        if self.until_quiet { self.seen().arrivals.quiet_at() } else { None }
    }

    /// The last connection that came.
    pub(crate) fn last(&self) -> Option<Arrival> {
        self.seen().last
    }

    /// The last connection that came after the drain had begun, counted from there.
    pub(crate) fn last_in_drain(&self) -> Option<Duration> {
        let seen = self.seen();
        let (last, drain) = seen.last.zip(seen.drain)?;
        (last.at > drain.begun).then(|| last.at - drain.begun)
    }

    /// What is kept back of the budget for requests in flight.
    pub(crate) fn reserve(&self) -> Duration {
        self.seen().durations.p99().max(RESERVE_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_knows_that_it_has_cut_a_request() {
        let traffic = Traffic::new(false);
        traffic.request_cut();
        assert!(!traffic.has_cut(), "only the forced end of a drain cuts");
        let (plan, _) = Plan::resolve(Default::default(), Default::default());
        traffic.drain_begins(Instant::now(), &plan, Snapshot::default());
        assert!(!traffic.has_cut());
        traffic.request_cut();
        assert!(traffic.has_cut());
    }

    #[test]
    fn counts_what_comes_in_the_last_fifth_of_the_delay() {
        let s = Duration::from_secs;
        let plan = Plan { drain_delay: s(10), shutdown_timeout: s(10), budget: None, drain_until_quiet: false };
        let (traffic, start) = (Traffic::new(false), Instant::now());
        traffic.arrived(None, start);
        traffic.drain_begins(start, &plan, Snapshot::default());
        assert_eq!(traffic.last_in_drain(), None);
        traffic.arrived(None, start + s(7));
        assert_eq!(traffic.drain().unwrap().late, 0);
        let source = Some("10.0.0.7".parse().unwrap());
        traffic.arrived(source, start + s(9));
        assert_eq!(traffic.drain().unwrap().late, 1);
        assert_eq!(traffic.last_in_drain(), Some(s(9)));
        traffic.arrived(None, start + s(6));
        assert_eq!(traffic.last().unwrap().source, source, "its first request came late, and not itself");
        assert_eq!(traffic.quiet_at(), None, "sources are not recorded");
    }
}
