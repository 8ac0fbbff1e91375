//! What a worker does with the interpreter's lock while it has an exchange in hand, and how long each took. A pure value.

use std::time::{Duration, Instant};

/// One worker's turn with one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GvlTimes {
    doing: Doing,
    held: Duration,
    waited: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
enum Doing {
    /// It has no exchange.
    #[default]
    Nothing,
    /// It has the lock.
    Holds(Instant),
    /// It has let go of the lock.
    Pauses(Instant),
    /// It wants the lock back.
    Wants(Instant),
}

impl GvlTimes {
    /// A turn that begins, with the lock in hand.
    pub(super) fn begun(now: Instant) -> Self {
        Self { doing: Doing::Holds(now), ..Self::default() }
    }

    /// Whether there is an exchange in hand.
    pub(super) fn goes_on(&self) -> bool {
        !matches!(self.doing, Doing::Nothing)
    }

    /// The lock is let go of.
    pub(super) fn suspend(&mut self, now: Instant) {
        if let Doing::Holds(since) = self.doing {
            self.held += now.saturating_duration_since(since);
            self.doing = Doing::Pauses(now);
        }
    }

    /// The lock is wanted back; how long it could be done without, if it was let go of for anything but to let others go.
    pub(super) fn want(&mut self, now: Instant) -> Option<Duration> {
        let pause = match self.doing {
            Doing::Pauses(since) => Some(now.saturating_duration_since(since)),
            Doing::Holds(since) => {
                self.held += now.saturating_duration_since(since);
                None
            }
            Doing::Nothing | Doing::Wants(_) => None,
        };
        if self.goes_on() {
            self.doing = Doing::Wants(now);
        }
        pause
    }

    /// The lock is there again; whether it was waited for.
    pub(super) fn resume(&mut self, now: impl FnOnce() -> Instant) -> bool {
        let Doing::Wants(since) = self.doing else { return false };
        let now = now();
        self.waited += now.saturating_duration_since(since);
        self.doing = Doing::Holds(now);
        true
    }

    /// How long the lock was held, if the turn ends now.
    pub(super) fn held(&self, now: Instant) -> Option<Duration> {
        match self.doing {
            Doing::Nothing => None,
            Doing::Holds(since) => Some(self.held + now.saturating_duration_since(since)),
            Doing::Pauses(_) | Doing::Wants(_) => Some(self.held),
        }
    }

    /// How long the lock was waited for, so far.
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
        let mut turn = GvlTimes::begun(start);
        turn.suspend(at(10));
        assert_eq!(turn.want(at(15)), Some(ms(5)));
        assert_eq!(turn.held(at(20)), Some(ms(10)), "it waits for the lock");
        assert!(turn.resume(|| at(25)));
        assert!(!turn.resume(|| panic!("it has it")));
        assert_eq!((turn.held(at(28)), turn.waited()), (Some(ms(13)), ms(10)));
    }

    #[test]
    fn letting_others_go_is_no_pause() {
        let start = Instant::now();
        let mut turn = GvlTimes::begun(start);
        assert_eq!(turn.want(start + Duration::from_millis(5)), None);
        assert_eq!(turn.held(start + Duration::from_millis(9)), Some(Duration::from_millis(5)));
    }

    #[test]
    fn nothing_is_counted_without_an_exchange() {
        let now = Instant::now();
        let mut turn = GvlTimes::default();
        turn.suspend(now);
        assert_eq!(turn.want(now), None);
        assert!(!turn.resume(|| now));
        assert_eq!((turn.held(now), turn.goes_on()), (None, false));
    }
}
