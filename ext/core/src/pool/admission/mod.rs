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

/// How many workers may run at a time. One was measured to be better than two.
const LIMIT: usize = 1;

/// A worker's number. When a worker has left, its number is given out again.
pub(super) type Id = usize;

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorkerState {
    /// Looking for work, or on its way out.
    Looking,
    /// Asleep until called.
    Idle,
    /// Called, and not yet looking.
    Called,
    /// In the app, holding the GVL.
    Running,
    /// In the app, wanting it back.
    Wanting,
    /// In the app, without the GVL.
    Blocked,
    /// In the app, holding or wanting the GVL, and not waited for: it has run for too long, or will mostly wait. It stays a
    /// hog until its exchange is done: when Ruby takes the GVL away at the end of a time slice, the events are the same as
    /// when the worker releases it and wants it back.
    Hog,
    /// The same without the GVL.
    BlockedHog,
    /// There is no worker of this number.
    Gone,
}

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

/// The workers and what they do.
#[derive(Debug, Default)]
pub(super) struct Admission {
    states: Vec<WorkerState>,
    /// The workers that sleep, the one that fell asleep last at the end.
    idle: Vec<Id>,
}

impl Admission {
    fn count(&self, wanted: WorkerState) -> usize {
        self.states.iter().filter(|state| **state == wanted).count()
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.states.len() - self.count(WorkerState::Gone)
    }

    /// How many of them sleep.
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// The workers by what they do.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for state in &self.states {
            match state {
                WorkerState::Running | WorkerState::Wanting | WorkerState::Hog => tally.active += 1,
                WorkerState::Blocked | WorkerState::BlockedHog => tally.waiting += 1,
                WorkerState::Looking | WorkerState::Idle | WorkerState::Called => tally.idle += 1,
                WorkerState::Gone => {}
            }
        }
        tally
    }

    /// How many run and are in the way of the next.
    fn running(&self) -> usize {
        self.states.iter().filter(|state| matches!(state, WorkerState::Running | WorkerState::Wanting)).count()
    }

    /// Whether one more may run.
    pub(super) fn admits(&self) -> bool {
        self.running() < LIMIT
    }

    /// Which worker to wake, when an exchange waits.
    pub(super) fn call(&mut self) -> Call {
        if self.running() + self.count(WorkerState::Called) >= LIMIT {
            return Call::NoWorker;
        }
        match self.idle.pop() {
            Some(id) => {
                self.states[id] = WorkerState::Called;
                Call::Wake(id)
            }
            None => Call::Hire,
        }
    }

    // ===== what workers do =====

    /// A worker joins, looking.
    pub(super) fn join(&mut self) -> Id {
        match self.states.iter().position(|state| *state == WorkerState::Gone) {
            Some(id) => {
                self.states[id] = WorkerState::Looking;
                id
            }
            None => {
                self.states.push(WorkerState::Looking);
                self.states.len() - 1
            }
        }
    }

    /// A worker leaves, whatever it was doing.
    pub(super) fn leave(&mut self, id: Id) {
        self.idle.retain(|other| *other != id);
        self.states[id] = WorkerState::Gone;
    }

    /// A worker has come out of the app, or out of its sleep, called or not.
    pub(super) fn look(&mut self, id: Id) {
        if self.states[id] == WorkerState::Idle {
            self.idle.retain(|other| *other != id);
        }
        self.states[id] = WorkerState::Looking;
    }

    /// A worker is on its way, called or not; no other needs to be called.
    pub(super) fn come(&mut self, id: Id) {
        self.look(id);
        self.states[id] = WorkerState::Called;
    }

    /// A worker that looks, and so has the GVL, takes an exchange into the app.
    pub(super) fn take(&mut self, id: Id) {
        self.states[id] = WorkerState::Running;
    }

    /// A worker that looks goes to sleep.
    pub(super) fn rest(&mut self, id: Id) {
        if self.states[id] != WorkerState::Idle {
            self.states[id] = WorkerState::Idle;
            self.idle.push(id);
        }
    }

    /// A worker that sleeps leaves, if it was not called and `min_threads` others remain. Returns whether it has.
    pub(super) fn retire(&mut self, id: Id, min_threads: usize) -> bool {
        let surplus = self.states[id] == WorkerState::Idle && self.workers() > min_threads;
        if surplus {
            self.leave(id);
        }
        surplus
    }

    /// A worker releases the GVL. Outside the app that means nothing, and a hog remains one.
    pub(super) fn suspended(&mut self, id: Id) {
        self.states[id] = match self.states[id] {
            WorkerState::Running | WorkerState::Wanting => WorkerState::Blocked,
            WorkerState::Hog => WorkerState::BlockedHog,
            other => other,
        };
    }

    /// A worker wants the GVL back. It may not have released it before, if it lets other threads go first.
    pub(super) fn ready(&mut self, id: Id) {
        self.states[id] = match self.states[id] {
            WorkerState::Blocked | WorkerState::Running => WorkerState::Wanting,
            WorkerState::BlockedHog => WorkerState::Hog,
            other => other,
        };
    }

    /// A worker that wanted the GVL has it.
    pub(super) fn resumed(&mut self, id: Id) {
        if self.states[id] == WorkerState::Wanting {
            self.states[id] = WorkerState::Running;
        }
    }

    /// A worker says that it will mostly wait.
    pub(super) fn mark_io_bound(&mut self, id: Id) {
        self.states[id] = match self.states[id] {
            WorkerState::Running | WorkerState::Wanting => WorkerState::Hog,
            WorkerState::Blocked => WorkerState::BlockedHog,
            other => other,
        };
    }

    /// Nothing was admitted for a while although an exchange waits. The worker that holds the GVL is a hog from now on; if none
    /// holds it, as far as the events tell, those that want it are. Returns whether there was one.
    pub(super) fn stall(&mut self) -> bool {
        let ran = if self.count(WorkerState::Running) > 0 { WorkerState::Running } else { WorkerState::Wanting };
        let hogs = self.states.iter_mut().filter(|state| **state == ran);
        hogs.map(|state| *state = WorkerState::Hog).count() > 0
    }
}

#[cfg(test)]
mod tests;
