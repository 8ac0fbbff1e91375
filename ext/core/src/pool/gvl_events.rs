//! What a worker's thread does with the GVL while it has an exchange, as Ruby tells it: on that thread, and on the threads
//! that wake it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use super::{DispatchQueue, QueueGuard};
use crate::pool::admission::Id;

/// Takes the events of one worker's thread, for no longer than the worker lives. Between exchanges they do nothing.
#[derive(Clone, Debug)]
pub struct GvlEvents {
    queue: Arc<DispatchQueue>,
    worker: Id,
    /// Whether the worker has left; another may have its number.
    retired: Arc<AtomicBool>,
}

impl GvlEvents {
    pub(super) fn new(queue: Arc<DispatchQueue>, worker: Id, retired: Arc<AtomicBool>) -> Self {
        Self { queue, worker, retired }
    }

    /// The pool's state, if the worker has an exchange.
    fn in_exchange(&self) -> Option<QueueGuard<'_>> {
        let mut state = self.queue.lock();
        (!self.retired.load(SeqCst) && state.roster.gvl_times(self.worker).has_exchange()).then_some(state)
    }

    /// The worker has released the GVL, at `now`: another may run.
    pub fn suspended(&self, now: impl FnOnce() -> Instant) {
        if let Some(mut state) = self.in_exchange() {
            let now = now();
            state.roster.gvl_times(self.worker).suspended(now);
            state.estimates.pause_began(now);
            state.roster.admission.suspended(self.worker);
            self.queue.call_if_waiting(&mut state);
        }
    }

    /// The worker wants the GVL back, since `now`.
    pub fn ready(&self, now: impl FnOnce() -> Instant) {
        if let Some(mut state) = self.in_exchange() {
            if let Some(pause) = state.roster.gvl_times(self.worker).ready(now()) {
                state.pause_ended(pause);
            }
            state.roster.admission.ready(self.worker);
            // No worker comes while this one runs; from here the stall guard sees to it that it does not run for too long.
            self.queue.call_if_waiting(&mut state);
        }
    }

    /// The worker has the GVL again, at `now`.
    pub fn resumed(&self, now: impl FnOnce() -> Instant) {
        if let Some(mut state) = self.in_exchange()
            && state.roster.gvl_times(self.worker).resumed(now)
        {
            state.roster.admission.resumed(self.worker);
        }
    }

    /// How long the worker's exchange has waited for the GVL so far.
    pub fn gvl_wait(&self) -> Duration {
        self.in_exchange().map(|mut state| state.roster.gvl_times(self.worker).waited()).unwrap_or_default()
    }

    /// The worker's exchange will mostly wait from now on: others need not wait for it. Returns whether there is one.
    pub fn mark_io_bound(&self) -> bool {
        let Some(mut state) = self.in_exchange() else { return false };
        state.roster.admission.mark_io_bound(self.worker);
        self.queue.call_if_waiting(&mut state);
        true
    }
}
