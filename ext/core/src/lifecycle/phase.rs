//! The phases of a server's life, and what each means for what comes in meanwhile.

use std::time::{Duration, Instant};

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not accepting yet.
    Booting,
    /// Serving.
    Ready,
    /// Told to stop, and still serving everything, because requests are still being routed here.
    Draining {
        /// When the signal came.
        since: Instant,
        /// The time in which clients are told to leave: at its half, all of them are.
        pace: Duration,
        /// When the delay is over.
        until: Instant,
    },
    /// A worker of a cluster leaves it, and the cluster serves on: the worker takes nothing new, finishes what is in flight, and
    /// gives its connections to its siblings as each comes to rest.
    Retiring {
        /// When it began.
        since: Instant,
        /// When what is left is cut.
        deadline: Instant,
        /// Whether connections are given to siblings; otherwise they end here, as in a drain.
        hands_over: bool,
    },
    /// Accepting nothing new; finishing what is in flight.
    Closing {
        /// When it began.
        since: Instant,
        /// When what is left is cut.
        deadline: Instant,
        /// Whether the server waits for clients that may have sent their next request already: not where a person waits for the
        /// end.
        gently: bool,
    },
    /// The budget is spent: what is left is refused or cut.
    Forcing {
        /// When the server counts as stopped whatever is left.
        until: Instant,
    },
    /// Over.
    Stopped {
        /// The process's exit status: 0, or 1 when a request was cut.
        status: i32,
    },
}

impl Phase {
    /// The phase's name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Ready => "ready",
            Self::Draining { .. } => "draining",
            Self::Retiring { .. } => "retiring",
            Self::Closing { .. } => "closing",
            Self::Forcing { .. } => "forcing",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// Whether the server has been told to stop.
    pub fn is_stopping(self) -> bool {
        !matches!(self, Self::Booting | Self::Ready)
    }

    /// Whether everything new has stopped being served.
    pub fn refuses_new(self) -> bool {
        self.is_stopping() && !matches!(self, Self::Draining { .. })
    }

    /// Whether a connection at rest is a sibling's from now on.
    pub(crate) fn hands_over(self) -> bool {
        matches!(self, Self::Retiring { hands_over: true, .. })
    }

    /// Whether what is left is refused or cut.
    pub fn is_forced(self) -> bool {
        matches!(self, Self::Forcing { .. } | Self::Stopped { .. })
    }

    /// How likely a response sent `now` should tell its client to close: none while ready, rising from a tenth of
    /// the drain's pace to certainty at its half, so that clients move away a few at a time; always from then on. A worker that
    /// gives its connections to siblings sends no client away.
    pub fn close_probability(self, now: Instant) -> f64 {
        match self {
            Self::Booting | Self::Ready | Self::Retiring { hands_over: true, .. } => 0.0,
            Self::Draining { since, pace, .. } => {
                let pace = pace.as_secs_f64();
                let gone = now.saturating_duration_since(since).as_secs_f64();
                ((gone - 0.1 * pace) / (0.4 * pace)).clamp(0.0, 1.0)
            }
            Self::Retiring { .. } | Self::Closing { .. } | Self::Forcing { .. } | Self::Stopped { .. } => 1.0,
        }
    }
}
