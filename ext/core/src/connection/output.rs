//! How much of what hyper gave to the socket is written, and whether the client takes it fast enough.

use std::{task::Waker, time::Instant};

use super::{now, stage::Due};
use crate::config::{MinRate, Timeouts};

/// What has become of what hyper was given to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteProgress {
    /// All of it is written.
    Written,
    /// The socket has not been tried yet, or takes it.
    UnderWay,
    /// The socket has taken nothing since then.
    Blocked { since: Instant },
}

/// The direction from hyper to the client.
#[derive(Debug)]
pub(super) struct Output {
    progress: WriteProgress,
    /// From the first write that the socket did not take until all is written.
    pace: Option<Pace>,
    /// Bytes written to the socket.
    written: u64,
    /// How often hyper has had nothing more to write.
    flushes: u64,
    waiter: Option<Waiter>,
}

/// A response that waits until what hyper has of it is written.
#[derive(Debug)]
struct Waiter {
    waker: Waker,
    /// It is woken too when the socket takes no more.
    when_blocked: bool,
}

/// How much the client has taken since the socket first took nothing more, or since the last check.
#[derive(Clone, Copy, Debug)]
struct Pace {
    since: Instant,
    /// Bytes that it had taken then, of all that was ever written.
    taken: u64,
    check: Check,
}

/// The check of a client's pace. It is made when the socket takes nothing more, because only then it is known what the client has
/// taken.
#[derive(Clone, Copy, Debug)]
enum Check {
    /// The window runs.
    Running,
    /// The window is over: at the next check the client must have taken this many bytes more.
    Due { quota: u64 },
    /// It took fewer.
    TooSlow,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { progress: WriteProgress::Written, pace: None, written: 0, flushes: 0, waiter: None }
    }

    pub(super) fn is_written(&self) -> bool {
        self.progress == WriteProgress::Written
    }

    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.progress, WriteProgress::Blocked { .. })
    }

    /// hyper gets something to write.
    pub(super) fn queued(&mut self) {
        if self.progress == WriteProgress::Written {
            self.progress = WriteProgress::UnderWay;
        }
    }

    pub(super) fn wrote(&mut self, length: usize) {
        self.written += length as u64;
        self.progress = WriteProgress::UnderWay;
    }

    /// The socket takes nothing; returns the task to wake. `unsent` asks how many of the bytes written the client has not taken yet,
    /// which the kernel holds.
    pub(super) fn blocked(&mut self, unsent: impl FnOnce() -> usize) -> Option<Waker> {
        if !matches!(self.progress, WriteProgress::Blocked { .. }) {
            self.progress = WriteProgress::Blocked { since: now() };
        }
        match self.pace {
            None => {
                let taken = self.written.saturating_sub(unsent() as u64);
                self.pace = Some(Pace { since: now(), taken, check: Check::Running });
            }
            Some(pace @ Pace { check: Check::Due { quota }, .. }) => {
                let taken = self.written.saturating_sub(unsent() as u64);
                // The kernel takes more only once a good part of its buffer is free, which a slow client may need minutes for.
                if taken > pace.taken {
                    self.progress = WriteProgress::Blocked { since: now() };
                }
                // A client that takes nothing at all has a limit of its own, the write timeout.
                let too_slow = (1..quota).contains(&taken.saturating_sub(pace.taken));
                let check = if too_slow { Check::TooSlow } else { Check::Running };
                self.pace = Some(Pace { taken, check, ..pace });
            }
            Some(Pace { check: Check::Running | Check::TooSlow, .. }) => {}
        }
        self.waiter.take_if(|waiter| waiter.when_blocked).map(|waiter| waiter.waker)
    }

    /// All is written; returns the task to wake.
    pub(super) fn flushed(&mut self) -> Option<Waker> {
        self.progress = WriteProgress::Written;
        self.pace = None;
        self.flushes += 1;
        self.waiter.take().map(|waiter| waiter.waker)
    }

    /// How far the writing is. Wakes `waker` once that changes, unless all is written.
    pub(super) fn progress(&mut self, waker: &Waker) -> WriteProgress {
        if self.progress != WriteProgress::Written {
            let when_blocked = self.progress == WriteProgress::UnderWay;
            self.waiter = Some(Waiter { waker: waker.clone(), when_blocked });
        }
        self.progress
    }

    pub(super) fn flushes(&self) -> u64 {
        self.flushes
    }

    /// Wakes `waker` with the next flush.
    pub(super) fn wake_when_flushed(&mut self, waker: &Waker) {
        self.waiter = Some(Waiter { waker: waker.clone(), when_blocked: false });
    }

    /// Has the client's pace checked when the socket is next found to take nothing more.
    pub(super) fn check_pace(&mut self, now: Instant, rate: MinRate) {
        if let Some(pace) = &mut self.pace {
            *pace = Pace { since: now, check: Check::Due { quota: rate.quota() }, ..*pace };
        }
    }

    /// When the write timeout ends, or the pace is to be looked at.
    pub(super) fn due(&self, timeouts: &Timeouts) -> Option<(Instant, Due)> {
        let stalled = match (self.progress, timeouts.write_timeout) {
            (WriteProgress::Blocked { since }, Some(limit)) => Some((since + limit, Due::Write)),
            _ => None,
        };
        let pace = match (self.pace, timeouts.min_data_rate) {
            (Some(Pace { since, check: Check::TooSlow, .. }), Some(_)) => Some((since, Due::Write)),
            (Some(Pace { since, .. }), Some(rate)) => Some((since + rate.window(), Due::Rate)),
            _ => None,
        };
        [stalled, pace].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}
