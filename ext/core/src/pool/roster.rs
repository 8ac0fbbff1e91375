//! The workers that are registered: what each does, how to wake it, and how many there may be.
//!
//! A plain value: the pool's lock guards it.

use std::time::{Duration, Instant};

use super::{
    admission::{Admission, Id},
    gvl_times::GvlTimes,
    request_timeout::Limited,
};
use crate::sync::Unparker;

/// The registered workers.
#[derive(Debug)]
pub(super) struct Roster {
    /// What each does, and which is called next.
    pub(super) admission: Admission,
    /// By the workers' numbers. A number's entry stays when its worker has left, for the next one that gets the number.
    entries: Vec<Entry>,
    /// The worker that has been called, to be woken when the pool's lock is released.
    called: Option<Unparker>,
    /// How many workers there may be; at least one.
    max_threads: usize,
    /// How many stay even if they have nothing to do.
    min_threads: usize,
    /// How long a worker beyond those may have nothing to do; `None` is without limit.
    idle_thread_timeout: Option<Duration>,
    /// When a worker last asked for an exchange, or ended inside the app: the pool was alive then.
    last_sign_of_life: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    unparker: Unparker,
    /// Of the exchange in the worker's hands.
    gvl_times: GvlTimes,
    /// The same exchange, where the app's time is limited.
    limited: Option<Limited>,
}

impl Roster {
    pub(super) fn new(max_threads: usize) -> Self {
        Self {
            admission: Admission::default(),
            entries: Vec::new(),
            called: None,
            max_threads: max_threads.max(1),
            min_threads: 0,
            idle_thread_timeout: None,
            last_sign_of_life: None,
        }
    }

    // ===== settings =====

    pub(super) fn max_threads(&self) -> usize {
        self.max_threads
    }

    pub(super) fn set_max_threads(&mut self, max_threads: usize) {
        self.max_threads = max_threads.max(1);
    }

    pub(super) fn retire_idle(&mut self, min_threads: usize, idle_thread_timeout: Option<Duration>) {
        self.min_threads = min_threads;
        self.idle_thread_timeout = idle_thread_timeout;
    }

    pub(super) fn idle_thread_timeout(&self) -> Option<Duration> {
        self.idle_thread_timeout
    }

    // ===== coming and going =====

    /// Registers a worker, and gives it a number.
    pub(super) fn join(&mut self, unparker: Unparker) -> Id {
        let id = self.admission.join();
        if let Some(entry) = self.entries.get_mut(id) {
            entry.unparker = unparker;
        } else {
            self.entries.push(Entry { unparker, gvl_times: GvlTimes::default(), limited: None });
        }
        id
    }

    /// A worker leaves, if it is asleep, was not called and is not needed. Returns whether it has left.
    pub(super) fn retire(&mut self, id: Id) -> bool {
        self.admission.retire(id, self.min_threads)
    }

    /// A worker ends, at `now`, wherever it is.
    pub(super) fn leave(&mut self, id: Id, now: impl FnOnce() -> Instant) {
        self.admission.leave(id);
        *self.limited(id) = None;
        if std::mem::take(self.gvl_times(id)).has_exchange() {
            self.last_sign_of_life = Some(now());
        }
    }

    // ===== waking =====

    /// Has a worker woken when the pool's lock is released.
    pub(super) fn wake(&mut self, id: Id) {
        if let Some(other) = self.called.replace(self.entries[id].unparker.clone()) {
            other.unpark();
        }
    }

    /// The worker to wake, now that the pool's lock is released.
    pub(super) fn take_called(&mut self) -> Option<Unparker> {
        self.called.take()
    }

    /// Whether a worker is to be woken.
    #[cfg(test)]
    pub(super) fn has_called(&self) -> bool {
        self.called.is_some()
    }

    /// Wakes any of them.
    pub(super) fn unparkers(&self) -> Vec<Unparker> {
        self.entries.iter().map(|entry| entry.unparker.clone()).collect()
    }

    // ===== what a worker does =====

    /// What the worker does with the GVL in its exchange.
    pub(super) fn gvl_times(&mut self, id: Id) -> &mut GvlTimes {
        &mut self.entries[id].gvl_times
    }

    /// The worker's exchange, where the app's time is limited.
    pub(super) fn limited(&mut self, id: Id) -> &mut Option<Limited> {
        &mut self.entries[id].limited
    }

    /// All of these, with the workers' numbers.
    pub(super) fn all_limited(&mut self) -> impl Iterator<Item = (Id, &mut Limited)> {
        let entries = self.entries.iter_mut().enumerate();
        entries.filter_map(|(id, entry)| Some((id, entry.limited.as_mut()?)))
    }

    pub(super) fn alive_at(&mut self, now: Instant) {
        self.last_sign_of_life = Some(now);
    }

    pub(super) fn last_sign_of_life(&self) -> Option<Instant> {
        self.last_sign_of_life
    }
}
