//! Admission: which worker may run the app now. Pure: events in, calls out.
//!
//! Ruby runs one thread at a time. A worker inside the app that holds the GVL or waits for it is *running*; one that
//! has released it (I/O, sleep, an extension's own work) is *blocked*. An exchange is admitted while fewer than
//! [`LIMIT`] workers run: requests that only compute run one after another, first come first served, and those that
//! wait overlap. So a request never sits inside the app behind other requests' time slices.
//!
//! One request that computes for long must not hold up the others: when nothing was admitted for a while although
//! an exchange waits ([`Admission::stall`]), the worker that runs is counted as a *hog* and no longer in the way. Time
//! slices then share the GVL between the hogs and the one worker that serves the rest.

mod workers;

use self::workers::{List, WorkerState, Workers};

/// How many workers may run at a time. One was measured to be better than two.
const LIMIT: usize = 1;

/// A worker's number. When a worker has left, its number is given out again.
pub(super) type Id = usize;

/// Which worker to wake for a waiting exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// This worker, which sleeps.
    Wake(Id),
    /// All are busy: one more worker is wanted.
    Hire,
    /// None: a worker runs, or is on its way already.
    NoWorker,
}

/// How many workers there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// In the app, holding or wanting the GVL.
    pub(crate) active: usize,
    /// In the app, without the GVL.
    pub(crate) waiting: usize,
    /// Not in the app.
    pub(crate) idle: usize,
}

/// The workers and what they do. No decision takes longer for there being more of them.
#[derive(Debug, Default)]
pub(super) struct Admission {
    workers: Workers,
}

impl Admission {
    fn count<const N: usize>(&self, states: [WorkerState; N]) -> usize {
        states.map(|state| self.workers.count(state)).iter().sum()
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// How many of them sleep.
    pub(super) fn idle(&self) -> usize {
        self.workers.count(WorkerState::Idle)
    }

    /// The workers by what they do.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            active: self.count([WorkerState::Running, WorkerState::Wanting, WorkerState::Hog]),
            waiting: self.count([WorkerState::Blocked, WorkerState::BlockedHog]),
            idle: self.count([WorkerState::Looking, WorkerState::Idle, WorkerState::Called, WorkerState::Late]),
        }
    }

    /// How many run and are in the way of the next.
    fn running(&self) -> usize {
        self.count([WorkerState::Running, WorkerState::Wanting])
    }

    /// How many will look for what waits without being called: a worker that looks does so once more before it falls asleep.
    fn on_the_way(&self) -> usize {
        self.count([WorkerState::Called, WorkerState::Looking])
    }

    /// Whether one more may run.
    pub(super) fn admits(&self) -> bool {
        self.running() < LIMIT
    }

    /// Whether a worker would be called for an exchange that waits.
    pub(super) fn calls(&self) -> bool {
        self.running() + self.on_the_way() < LIMIT
    }

    /// Which worker to wake, when an exchange waits. The one that fell asleep last is called first: its memory is the warmest, and
    /// those that are not needed stay asleep until they retire.
    pub(super) fn call(&mut self) -> Call {
        if !self.calls() {
            return Call::NoWorker;
        }
        match self.workers.first(List::Idle) {
            Some(id) => {
                self.workers.set(id, WorkerState::Called);
                Call::Wake(id)
            }
            None => Call::Hire,
        }
    }

    // ===== what workers do =====

    /// A worker joins, looking.
    pub(super) fn join(&mut self) -> Id {
        self.workers.join(WorkerState::Looking)
    }

    /// A worker leaves, whatever it was doing.
    pub(super) fn leave(&mut self, id: Id) {
        self.workers.leave(id);
    }

    /// A worker has come out of the app, or out of its sleep, called or not.
    pub(super) fn look(&mut self, id: Id) {
        self.workers.set(id, WorkerState::Looking);
    }

    /// A worker is on its way, called or not; no other needs to be called.
    pub(super) fn come(&mut self, id: Id) {
        self.workers.set(id, WorkerState::Called);
    }

    /// A worker that looks, and so has the GVL, takes an exchange into the app.
    pub(super) fn take(&mut self, id: Id) {
        self.workers.set(id, WorkerState::Running);
    }

    /// A worker that looks goes to sleep.
    pub(super) fn rest(&mut self, id: Id) {
        self.workers.set(id, WorkerState::Idle);
    }

    /// A worker that sleeps leaves, if it was not called and `min_threads` others remain. Returns whether it has.
    pub(super) fn retire(&mut self, id: Id, min_threads: usize) -> bool {
        let surplus = self.workers.state(id) == WorkerState::Idle && self.workers() > min_threads;
        if surplus {
            self.leave(id);
        }
        surplus
    }

    /// A worker releases the GVL. Outside the app that means nothing, and a hog remains one.
    pub(super) fn suspended(&mut self, id: Id) {
        match self.workers.state(id) {
            WorkerState::Running | WorkerState::Wanting => self.workers.set(id, WorkerState::Blocked),
            WorkerState::Hog => self.workers.set(id, WorkerState::BlockedHog),
            _ => {}
        }
    }

    /// A worker wants the GVL back. It may not have released it before, if it lets other threads go first.
    pub(super) fn ready(&mut self, id: Id) {
        match self.workers.state(id) {
            WorkerState::Blocked | WorkerState::Running => self.workers.set(id, WorkerState::Wanting),
            WorkerState::BlockedHog => self.workers.set(id, WorkerState::Hog),
            _ => {}
        }
    }

    /// A worker that wanted the GVL has it.
    pub(super) fn resumed(&mut self, id: Id) {
        if self.workers.state(id) == WorkerState::Wanting {
            self.workers.set(id, WorkerState::Running);
        }
    }

    /// A worker says that it will mostly wait.
    pub(super) fn mark_io_bound(&mut self, id: Id) {
        match self.workers.state(id) {
            WorkerState::Running | WorkerState::Wanting => self.workers.set(id, WorkerState::Hog),
            WorkerState::Blocked => self.workers.set(id, WorkerState::BlockedHog),
            _ => {}
        }
    }

    /// Nothing was admitted for a while although an exchange waits. The worker that holds the GVL is a hog from now on; if none
    /// holds it, as far as the events tell, those that want it are. Returns whether there was one. If none is in the app, those that
    /// should have come are late, and another may be called.
    pub(super) fn stall(&mut self) -> bool {
        let holds = self.workers.count(WorkerState::Running) > 0;
        let ran = if holds { WorkerState::Running } else { WorkerState::Wanting };
        let hogs: Vec<Id> = self.workers.list(List::InTheWay).filter(|id| self.workers.state(*id) == ran).collect();
        hogs.iter().for_each(|id| self.workers.set(*id, WorkerState::Hog));
        if hogs.is_empty() {
            let late: Vec<Id> = self.workers.list(List::OnTheWay).collect();
            late.iter().for_each(|id| self.workers.set(*id, WorkerState::Late));
        }
        !hogs.is_empty()
    }
}

#[cfg(test)]
mod tests;
