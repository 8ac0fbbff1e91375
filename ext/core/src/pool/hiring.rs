//! New workers: how many are wanted, and the spawner, which is the app's thread that creates them.
//!
//! The spawner waits in [`DispatchQueue::demand`] and creates a thread for each [`Demand::Worker`], which then
//! [registers](DispatchQueue::register).

use std::time::Instant;

use super::DispatchQueue;
use crate::sync::{Parker, Unparker};

/// What the spawner is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// One more worker, which will [`register`](DispatchQueue::register).
    Worker,
    /// Nothing ever again.
    Over,
}

/// The workers that are to come. The pool's lock guards it.
#[derive(Debug, Default)]
pub(super) struct Hiring {
    /// Workers that are wanted, and that the spawner has not heard of yet.
    unclaimed: usize,
    /// Workers that the spawner was asked for and that have not registered yet. A worker may also register unasked, so what
    /// is unclaimed is counted apart: the newcomer takes the place of a requested one only.
    requested: usize,
    /// Wakes the spawner, while it waits.
    spawner: Option<Unparker>,
}

impl Hiring {
    /// How many workers are to come.
    pub(super) fn expected(&self) -> usize {
        self.requested + self.unclaimed
    }

    /// One more worker is wanted.
    pub(super) fn ask(&mut self) {
        self.unclaimed += 1;
        if let Some(spawner) = self.spawner.take() {
            spawner.unpark();
        }
    }

    /// The spawner claims a worker that is wanted. Returns whether there was one.
    fn claim(&mut self) -> bool {
        let wanted = self.unclaimed > 0;
        self.unclaimed -= usize::from(wanted);
        wanted
    }

    /// A worker has registered, or can't be created.
    pub(super) fn settle_one(&mut self) {
        self.requested = self.requested.saturating_sub(1);
    }

    /// The spawner, which is to be woken for the last time.
    pub(super) fn dismiss(&mut self) -> Option<Unparker> {
        self.spawner.take()
    }

    /// What is not settled yet: requested, and unclaimed.
    #[cfg(test)]
    pub(super) fn outstanding(&self) -> (usize, usize) {
        (self.requested, self.unclaimed)
    }
}

impl DispatchQueue {
    /// Waits until the spawner has something to do: `Some` demand, or `None` when `parker` was woken for something else.
    pub fn demand(&self, parker: &Parker) -> Option<Demand> {
        self.demand_by(parker, Instant::now)
    }

    pub(super) fn demand_by(&self, parker: &Parker, now: impl Fn() -> Instant) -> Option<Demand> {
        if let Some(demand) = self.pending_demand(parker) {
            return Some(demand);
        }
        parker.park();
        let left = self.lock().estimates.left_of_pause(now);
        if let Some(left) = left {
            // The spawner waits out a short pause, as a called worker does: often no new worker is needed after it.
            parker.short_wait(left);
        }
        self.pending_demand(parker)
    }

    pub(super) fn pending_demand(&self, parker: &Parker) -> Option<Demand> {
        let mut state = self.lock();
        if state.is_closed() {
            return Some(Demand::Over);
        }
        while state.hiring.claim() {
            // A worker may have become free on the spawner's way here.
            if !state.queue.is_empty() && self.call_or_want(&mut state) {
                state.hiring.requested += 1;
                return Some(Demand::Worker);
            }
        }
        state.hiring.spawner = Some(parker.unparker());
        None
    }

    /// The worker that [`Demand::Worker`] asked for can't be created. The spawner is asked again while one is needed.
    pub fn decline(&self) {
        let mut state = self.lock();
        state.hiring.settle_one();
        self.call_if_waiting(&mut state);
    }

    /// No requested worker is waited for any longer: the spawner may have ended before it had created them. Those that
    /// register all the same do no harm.
    pub fn forget_requested(&self) {
        let mut state = self.lock();
        state.hiring.requested = 0;
        self.call_if_waiting(&mut state);
    }
}
