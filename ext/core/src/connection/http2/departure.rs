//! When a connection of HTTP/2 is told to go, and when it has to be gone: GOAWAY in two steps (RFC 9113 §6.8). The first lets streams
//! through that are on their way; the second names the last, when the client has answered a PING or has had its time.

use std::time::{Duration, Instant};

use crate::lifecycle::Phase;

/// How long a client may take to answer the PING behind the first GOAWAY.
const ANSWER: Duration = Duration::from_secs(2);
/// A client that opens a connection and is told to go before it was answered waits before it opens the next. So one that has
/// come in a drain is told after its first answer, or after this time.
const YOUNG: Duration = Duration::from_secs(1);
/// The part of a drain's delay over which connections are told to go.
const SPREAD: f64 = 0.25;

/// How far a connection is with its going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// It stays.
    None,
    /// The client was told, and may not know yet.
    Told { at: Instant },
    /// Whatever comes now has not been told of in time.
    Over,
}

impl Departure {
    /// What to do next, and when.
    pub(super) fn due(&self, tell_at: Option<Instant>) -> Option<Instant> {
        match self {
            Self::None => tell_at,
            Self::Told { at } => Some(*at + ANSWER),
            Self::Over => None,
        }
    }
}

/// What is known of a connection that decides when it is told to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    pub(super) begun: Instant,
    /// Where in the time over which a drain tells connections this one has its turn: 0 to 1.
    pub(super) turn: f64,
    /// It has come in the drain.
    pub(super) in_drain: bool,
    /// A stream of it was answered.
    pub(super) answered: bool,
}

impl Age {
    /// When the client is told to go; `None` while it is not.
    pub(super) fn goes_at(&self, phase: Phase) -> Option<Instant> {
        match phase {
            Phase::Booting | Phase::Ready => None,
            Phase::Draining { .. } if self.in_drain => {
                Some(if self.answered { self.begun } else { self.begun + YOUNG })
            }
            Phase::Draining { since, pace, .. } => Some(since + pace.mul_f64(SPREAD * self.turn)),
            Phase::Retiring { since, .. } | Phase::Closing { since, .. } => Some(since),
            Phase::Forcing { .. } | Phase::Stopped { .. } => Some(self.begun),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_tells_connections_over_its_first_quarter() {
        let start = Instant::now();
        let s = Duration::from_secs;
        let age = |turn| Age { begun: start, turn, in_drain: false, answered: true };
        let draining = Phase::Draining { since: start, pace: s(20), until: start + s(20) };
        assert_eq!(age(0.5).goes_at(Phase::Ready), None);
        assert_eq!(age(0.0).goes_at(draining), Some(start));
        assert_eq!(age(1.0).goes_at(draining), Some(start + s(5)));
        let closing = Phase::Closing { since: start + s(9), deadline: start + s(30), gently: true };
        assert_eq!(age(1.0).goes_at(closing), Some(start + s(9)));
    }

    #[test]
    fn one_that_came_in_the_drain_is_answered_first() {
        let start = Instant::now();
        let age = |answered| Age { begun: start, turn: 0.0, in_drain: true, answered };
        let draining = Phase::Draining { since: start, pace: YOUNG, until: start + YOUNG };
        assert_eq!(age(true).goes_at(draining), Some(start));
        assert_eq!(age(false).goes_at(draining), Some(start + YOUNG));
    }
}
