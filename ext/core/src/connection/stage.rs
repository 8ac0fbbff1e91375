//! Where a connection is between two requests, and when something is due there.

use std::time::{Duration, Instant};

use crate::{
    config::Timeouts, exchange::hijack::HijackRequest, http::guard::RawTarget, lifecycle::Phase,
    stats::refused::Refused,
};

/// How long a connection must have been silent before it may be closed in a drain.
pub(super) const COLD_AFTER: Duration = Duration::from_secs(1);
/// The same in a drain that is not in a hurry, as a multiple of the longest silence that the connection has broken: a client that
/// asks every three seconds will do so again and is then told to leave, while a close and the next request may cross on the way.
const COLD_AFTER_GAPS: u32 = 2;
/// The same for a connection that has had one request only, so that nothing is known of its silences.
pub(super) const COLD_AFTER_FIRST: Duration = Duration::from_secs(4);

/// How long a connection must have been silent before hyper and its buffers, 16 KiB, are let go of until something comes in.
/// Not longer, because the memory of many connections that were busy at a time stays the process's; not shorter, because to make
/// them again for each request has its price too.
const REST_AFTER: Duration = Duration::from_millis(200);

/// How long a head may take before its connection may be closed to make room for a new one.
pub(super) const EVICTABLE_AFTER: Duration = Duration::from_secs(1);

/// Where a connection is between two requests.
#[derive(Debug)]
pub(super) enum Stage {
    /// It is accepted; nothing has come in yet.
    Fresh { since: Instant },
    /// A head is arriving, or was refused by the guard.
    Head(ArrivingHead),
    /// A request is being received, waits or runs; nothing of its response has gone to hyper.
    Exchange,
    /// The app wants the connection for itself, as soon as everything before that is written.
    Hijack(HijackRequest),
    /// hyper has begun to get the response.
    Response { close_delimited: bool },
    /// hyper has the whole response; its last bytes may still be in hyper's buffer.
    Flushing { close_delimited: bool },
    /// The response is written; nothing has come in since.
    Idle { since: Instant },
    /// It speaks HTTP/2: what there is to say of its requests is each stream's.
    Streams,
}

/// A head on its way through the guard to hyper.
#[derive(Debug)]
pub(super) struct ArrivingHead {
    /// When its first byte came.
    pub(super) since: Instant,
    /// The target as the client sent it, where hyper gets it in another form.
    pub(super) target: Option<RawTarget>,
    /// What the guard has found, until the connection's task hears of it.
    pub(super) interruption: Option<Interruption>,
    /// hyper has refused it, and has written so.
    pub(super) answered: bool,
}

impl ArrivingHead {
    pub(super) fn begins(since: Instant) -> Self {
        Self { since, target: None, interruption: None, answered: false }
    }
}

/// What the guard has found in a head, so that hyper has to be let go of before it reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// The head may not pass.
    Refused(Refused),
    /// The head has more fields than this hyper has room for.
    ManyFields,
    /// It is no head, but the beginning of HTTP/2.
    Http2,
    /// The sibling in this slot would run the request at once.
    Elsewhere(usize),
}

/// What is due at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    FirstByte,
    Head,
    /// A head has taken long enough: the connection may be closed to make room for a new one.
    Evictable,
    Idle,
    Write,
    /// The client's pace is to be checked.
    Rate,
    /// The connection has been silent for long enough to be closed in a drain.
    Cold,
    /// The connection has been silent for long enough to wait with less memory.
    Rest,
}

impl Due {
    /// Whether it comes of the client's silence, which what is in the socket may have broken. A connection that rests or that is
    /// closed is looked at by those who do that.
    pub(super) fn is_the_clients(self) -> bool {
        matches!(self, Self::Head | Self::Write)
    }
}

impl Stage {
    /// Whether nothing of a request has come in since the last response.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Fresh { .. } | Self::Idle { .. })
    }

    /// Whether a request is under way, so that what comes in behind it has to wait.
    pub(super) fn is_exchanging(&self) -> bool {
        match self {
            Self::Exchange | Self::Hijack(_) | Self::Response { .. } | Self::Flushing { .. } | Self::Streams => true,
            Self::Fresh { .. } | Self::Head(_) | Self::Idle { .. } => false,
        }
    }

    /// When the client must have sent something.
    pub(super) fn due(&self, timeouts: &Timeouts) -> Option<(Instant, Due)> {
        match self {
            Self::Fresh { since } => timeouts.first_data_timeout.map(|limit| (*since + limit, Due::FirstByte)),
            Self::Head(head) => {
                let limit = [timeouts.head_timeout, timeouts.receive_timeout].into_iter().flatten().min();
                limit.map(|limit| (head.since + limit, Due::Head))
            }
            Self::Idle { since } => timeouts.persistent_timeout.map(|limit| (*since + limit, Due::Idle)),
            Self::Exchange | Self::Hijack(_) | Self::Response { .. } | Self::Flushing { .. } | Self::Streams => None,
        }
    }

    /// When a connection that hyper has may do without it, or may be closed for a new one. `evictable`: it may be already.
    pub(super) fn due_at_work(&self, evictable: bool) -> Option<(Instant, Due)> {
        match self {
            Self::Fresh { since } | Self::Idle { since } => Some((*since + REST_AFTER, Due::Rest)),
            Self::Head(head) if !evictable => Some((head.since + EVICTABLE_AFTER, Due::Evictable)),
            _ => None,
        }
    }

    /// When the connection may be closed in a drain, if nothing comes in before. `gap` is the longest silence that it has broken.
    pub(super) fn cold_at(&self, phase: Phase, gap: Option<Duration>) -> Option<Instant> {
        match (self, phase) {
            (
                Self::Idle { since },
                Phase::Closing { since: begun, deadline, gently: true }
                | Phase::Retiring { since: begun, deadline, .. },
            ) => {
                let usual = gap.map_or(COLD_AFTER_FIRST, |gap| COLD_AFTER_GAPS * gap);
                // Not so long that requests in flight would be short of time.
                let latest = begun + deadline.saturating_duration_since(begun) / 2;
                Some((*since + usual).min(latest).max(*since + COLD_AFTER))
            }
            (Self::Fresh { since } | Self::Idle { since }, Phase::Closing { .. } | Phase::Retiring { .. }) => {
                Some(*since + COLD_AFTER)
            }
            _ => None,
        }
    }
}
