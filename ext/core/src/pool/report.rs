//! What the pool tells of itself: for metrics, for log lines, and for the probe that tells a dead pool from a busy one.

use std::time::{Duration, Instant};

use super::{DispatchQueue, admission::Tally};

impl DispatchQueue {
    /// How many exchanges wait for a worker.
    pub fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// How many exchanges may wait.
    pub(crate) fn max_queue(&self) -> usize {
        self.lock().queue.max_queue()
    }

    /// For how long an exchange may wait; none where that has no limit.
    pub(crate) fn queue_timeout(&self) -> Option<Duration> {
        self.lock().queue.queue_timeout()
    }

    /// The most exchanges that have waited at a time since the last call of this.
    pub(crate) fn reset_deepest(&self) -> usize {
        self.lock().queue.reset_deepest()
    }

    /// How many workers there may be.
    pub fn max_threads(&self) -> usize {
        self.lock().roster.max_threads()
    }

    /// How many workers there are, and how many of them sleep.
    pub fn workers(&self) -> (usize, usize) {
        let state = self.lock();
        (state.roster.admission.workers(), state.roster.admission.idle())
    }

    /// The workers by what they do.
    pub(crate) fn tally(&self) -> Tally {
        self.lock().roster.admission.tally()
    }

    /// For how long exchanges have waited although no worker is in the app and none has come for them; zero when none waits,
    /// or a worker is in the app, for however long. It grows when no thread runs the app any more.
    pub(crate) fn unattended(&self, now: Instant) -> Duration {
        let state = self.lock();
        let tally = state.roster.admission.tally();
        if tally.active + tally.waiting > 0 {
            return Duration::ZERO;
        }
        let Some(first) = state.queue.first() else { return Duration::ZERO };
        let queued = first.request.queued;
        let since = state.roster.last_sign_of_life().map_or(queued, |sign| sign.max(queued));
        now.saturating_duration_since(since)
    }

    /// The same, where it is at least the `limit`.
    pub(crate) fn unattended_for_too_long(&self, limit: Option<Duration>, now: Instant) -> Option<Duration> {
        let limit = limit?;
        Some(self.unattended(now)).filter(|silence| *silence >= limit)
    }

    /// The same for a liveness probe. The workers of a cluster share the address of the probes: as long as the pool of one of them lives
    /// the cluster does, and its master replaces the worker in question.
    pub(crate) fn all_unattended(&self, limit: Option<Duration>, now: Instant) -> Option<Duration> {
        let silence = self.unattended_for_too_long(limit, now)?;
        let Some(member) = &self.member else { return Some(silence) };
        member.pool_is_dead(silence);
        member.all_pools_dead().then_some(silence)
    }
}
