//! What a worker does with the GVL while it has an exchange, and for how long in all. A pure value.

use std::time::{Duration, Instant};

/// One worker's times with one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GvlTimes {
    now: Gvl,
    held: Duration,
    waited: Duration,
}

/// What the worker does with the GVL, and since when.
#[derive(Clone, Copy, Debug, Default)]
enum Gvl {
    /// It has no exchange.
    #[default]
    NoExchange,
    /// It has the GVL.
    Held(Instant),
    /// It has released the GVL.
    Released(Instant),
    /// It wants the GVL back.
    Wanted(Instant),
}

impl GvlTimes {
    /// An exchange begins; the worker has the GVL.
    pub(super) fn begin(now: Instant) -> Self {
        Self { now: Gvl::Held(now), ..Self::default() }
    }

    /// Whether the worker has an exchange.
    pub(super) fn has_exchange(&self) -> bool {
        !matches!(self.now, Gvl::NoExchange)
    }

    /// The worker releases the GVL.
    pub(super) fn suspended(&mut self, now: Instant) {
        if let Gvl::Held(since) = self.now {
            self.held += now.saturating_duration_since(since);
            self.now = Gvl::Released(now);
        }
    }

    /// The worker wants the GVL back. How long it did without, unless it has only let other threads go first.
    pub(super) fn ready(&mut self, now: Instant) -> Option<Duration> {
        let pause = match self.now {
            Gvl::Released(since) => Some(now.saturating_duration_since(since)),
            Gvl::Held(since) => {
                self.held += now.saturating_duration_since(since);
                None
            }
            Gvl::NoExchange | Gvl::Wanted(_) => None,
        };
        if self.has_exchange() {
            self.now = Gvl::Wanted(now);
        }
        pause
    }

    /// The worker has the GVL again. Returns whether it had to wait for it.
    pub(super) fn resumed(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let Gvl::Wanted(since) = self.now else { return false };
        let now = now();
        self.waited += now.saturating_duration_since(since);
        self.now = Gvl::Held(now);
        true
    }

    /// How long the worker has held the GVL in all, if the exchange ends now.
    pub(super) fn held(&self, now: Instant) -> Option<Duration> {
        match self.now {
            Gvl::NoExchange => None,
            Gvl::Held(since) => Some(self.held + now.saturating_duration_since(since)),
            Gvl::Released(_) | Gvl::Wanted(_) => Some(self.held),
        }
    }

    /// How long the worker has waited for the GVL so far.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_holding_from_waiting() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let ms = Duration::from_millis;
        let mut times = GvlTimes::begin(start);
        times.suspended(at(10));
        assert_eq!(times.ready(at(15)), Some(ms(5)));
        assert_eq!(times.held(at(20)), Some(ms(10)), "it waits for the GVL");
        assert!(times.resumed(|| at(25)));
        assert!(!times.resumed(|| panic!("it has it")));
        assert_eq!((times.held(at(28)), times.waited()), (Some(ms(13)), ms(10)));
    }

    #[test]
    fn letting_others_go_is_no_pause() {
        let start = Instant::now();
        let mut times = GvlTimes::begin(start);
        assert_eq!(times.ready(start + Duration::from_millis(5)), None);
        assert_eq!(times.held(start + Duration::from_millis(9)), Some(Duration::from_millis(5)));
    }

    #[test]
    fn nothing_is_counted_without_an_exchange() {
        let now = Instant::now();
        let mut times = GvlTimes::default();
        times.suspended(now);
        assert_eq!(times.ready(now), None);
        assert!(!times.resumed(|| now));
        assert_eq!((times.held(now), times.has_exchange()), (None, false));
    }
}
