//! What a worker's thread does with the interpreter's lock while it has an exchange in hand, as the interpreter tells it:
//! from that thread, and from those that wake it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use super::{DispatchQueue, QueueGuard};
use crate::pool::admission::Id;

/// Hears what becomes of the lock in one worker's hands; not for longer than the worker lives. Outside of exchanges all of it
/// does nothing.
#[derive(Clone, Debug)]
pub struct GvlEvents {
    queue: Arc<DispatchQueue>,
    worker: Id,
    /// It has left, and the number may be another's.
    retired: Arc<AtomicBool>,
}

impl GvlEvents {
    pub(super) fn new(queue: Arc<DispatchQueue>, worker: Id, retired: Arc<AtomicBool>) -> Self {
        Self { queue, worker, retired }
    }

    /// The crew, if there is an exchange in hand.
    fn at_work(&self) -> Option<QueueGuard<'_>> {
        let crew = self.queue.crew();
        (!self.retired.load(SeqCst) && crew.turns[self.worker].goes_on()).then_some(crew)
    }

    /// The worker has let go of the lock, at `now`: another may run.
    pub fn suspended(&self, now: impl FnOnce() -> Instant) {
        if let Some(mut crew) = self.at_work() {
            let now = now();
            crew.turns[self.worker].suspend(now);
            crew.paused = Some(now);
            crew.admission.suspend(self.worker);
            self.queue.attend_to_backlog(&mut crew);
        }
    }

    /// The worker wants the lock back, since `now`.
    pub fn ready(&self, now: impl FnOnce() -> Instant) {
        if let Some(mut crew) = self.at_work() {
            if let Some(pause) = crew.turns[self.worker].want(now()) {
                crew.habits.paused(pause);
            }
            crew.admission.resume(self.worker);
            // Nobody comes while this one runs; that it does not run for too long is watched from here.
            self.queue.attend_to_backlog(&mut crew);
        }
    }

    /// The worker has the lock again, at `now`.
    pub fn resumed(&self, now: impl FnOnce() -> Instant) {
        if let Some(mut crew) = self.at_work()
            && crew.turns[self.worker].resume(now)
        {
            crew.admission.hold(self.worker);
        }
    }

    /// How long the exchange in hand has waited for the lock so far.
    pub fn lock_wait(&self) -> Duration {
        self.at_work().map(|crew| crew.turns[self.worker].waited()).unwrap_or_default()
    }

    /// The exchange in hand will mostly wait from now on: others need not wait for it. Whether there is one.
    pub fn step_aside(&self) -> bool {
        let crew = self.at_work();
        let there_is_one = crew.is_some();
        if let Some(mut crew) = crew {
            crew.admission.step_aside(self.worker);
            self.queue.attend_to_backlog(&mut crew);
        }
        there_is_one
    }
}
