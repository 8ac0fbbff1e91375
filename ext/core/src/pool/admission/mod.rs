//! Admission: which worker may run the app now. Pure: events in, calls out.
//!
//! Ruby runs one thread at a time. A worker inside the app that holds the GVL or waits for it is *running*; one that
//! has let go of it (I/O, sleep, an extension's own work) is *blocked*. An exchange is admitted while fewer than
//! [`LIMIT`] workers run: requests that only compute run one after another, first come first served, and those that
//! wait overlap. So a request never sits inside the app behind other requests' time slices.
//!
//! One request that computes for long must not hold up the others: when nothing was admitted for a while although
//! something waits ([`Admission::stall`]), whoever runs is counted as a *hog* and no longer in the way. Ruby's own
//! time slices then share the GVL between the hogs and the one worker that serves the rest.

/// How many workers may run at a time. One was measured to be better than two.
const LIMIT: usize = 1;

/// A worker's number. Numbers of those who have left are given out again.
pub(crate) type Id = usize;

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
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
    /// In the app, holding or wanting the GVL, having run for so long that others no longer wait for it, or having said
    /// that they need not. It is one until it is done: when Ruby takes the GVL away at the end of a time slice, that looks
    /// like letting go of it and wanting it back.
    Hog,
    /// The same without the GVL.
    BlockedHog,
    /// There is no worker of this number.
    Gone,
}

/// Whom to wake for a waiting exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// This worker, which sleeps.
    Wake(Id),
    /// All are busy: one more worker is wanted.
    Hire,
    /// Nobody: somebody runs, or comes already.
    Nobody,
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
pub(crate) struct Admission {
    states: Vec<State>,
    /// The sleeping, the most recently idle last.
    idle: Vec<Id>,
}

impl Admission {
    fn count(&self, wanted: State) -> usize {
        self.states.iter().filter(|state| **state == wanted).count()
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.states.len() - self.count(State::Gone)
    }

    /// How many of them sleep.
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// The workers by what they do.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for state in &self.states {
            match state {
                State::Running | State::Wanting | State::Hog => tally.active += 1,
                State::Blocked | State::BlockedHog => tally.waiting += 1,
                State::Looking | State::Idle | State::Called => tally.idle += 1,
                State::Gone => {}
            }
        }
        tally
    }

    /// Who runs, and is in the way of the next.
    fn running(&self) -> usize {
        self.states.iter().filter(|state| matches!(state, State::Running | State::Wanting)).count()
    }

    /// Whether one more may run.
    pub(crate) fn admits(&self) -> bool {
        self.running() < LIMIT
    }

    /// Whom to wake, when an exchange waits.
    pub(crate) fn call(&mut self) -> Call {
        if self.running() + self.count(State::Called) >= LIMIT {
            return Call::Nobody;
        }
        match self.idle.pop() {
            Some(id) => {
                self.states[id] = State::Called;
                Call::Wake(id)
            }
            None => Call::Hire,
        }
    }

    // ===== what workers do =====

    /// A worker joins, looking.
    pub(crate) fn join(&mut self) -> Id {
        match self.states.iter().position(|state| *state == State::Gone) {
            Some(id) => {
                self.states[id] = State::Looking;
                id
            }
            None => {
                self.states.push(State::Looking);
                self.states.len() - 1
            }
        }
    }

    /// A worker leaves, whatever it was doing.
    pub(crate) fn leave(&mut self, id: Id) {
        self.idle.retain(|other| *other != id);
        self.states[id] = State::Gone;
    }

    /// A worker has come out of the app, or out of its sleep, called or not.
    pub(crate) fn look(&mut self, id: Id) {
        if self.states[id] == State::Idle {
            self.idle.retain(|other| *other != id);
        }
        self.states[id] = State::Looking;
    }

    /// A worker is on its way, called or not; nobody else needs to be called.
    pub(crate) fn come(&mut self, id: Id) {
        self.look(id);
        self.states[id] = State::Called;
    }

    /// A worker that looks, and so has the GVL, takes an exchange into the app.
    pub(crate) fn take(&mut self, id: Id) {
        self.states[id] = State::Running;
    }

    /// A worker that looks goes to sleep.
    pub(crate) fn rest(&mut self, id: Id) {
        if self.states[id] != State::Idle {
            self.states[id] = State::Idle;
            self.idle.push(id);
        }
    }

    /// A worker that sleeps leaves, if nobody has called it and `min` others remain. Whether it has.
    pub(crate) fn retire(&mut self, id: Id, min: usize) -> bool {
        let surplus = self.states[id] == State::Idle && self.workers() > min;
        if surplus {
            self.leave(id);
        }
        surplus
    }

    /// A worker lets go of the GVL. Outside the app that means nothing, and a hog remains one.
    pub(crate) fn suspend(&mut self, id: Id) {
        self.states[id] = match self.states[id] {
            State::Running | State::Wanting => State::Blocked,
            State::Hog => State::BlockedHog,
            other => other,
        };
    }

    /// A worker wants the GVL back, be it that it has let others go first.
    pub(crate) fn resume(&mut self, id: Id) {
        self.states[id] = match self.states[id] {
            State::Blocked | State::Running => State::Wanting,
            State::BlockedHog => State::Hog,
            other => other,
        };
    }

    /// A worker that wanted the GVL has it.
    pub(crate) fn hold(&mut self, id: Id) {
        if self.states[id] == State::Wanting {
            self.states[id] = State::Running;
        }
    }

    /// A worker says that it will mostly wait.
    pub(crate) fn step_aside(&mut self, id: Id) {
        self.states[id] = match self.states[id] {
            State::Running | State::Wanting => State::Hog,
            State::Blocked => State::BlockedHog,
            other => other,
        };
    }

    /// Nothing was admitted for a while although something waits. Whoever holds the GVL is a hog from now on; who waits
    /// for it as the exchange does is one only if nobody holds it, as far as we have heard. Whether somebody ran.
    pub(crate) fn stall(&mut self) -> bool {
        let ran = if self.count(State::Running) > 0 { State::Running } else { State::Wanting };
        let hogs = self.states.iter_mut().filter(|state| **state == ran);
        hogs.map(|state| *state = State::Hog).count() > 0
    }
}

#[cfg(test)]
mod tests;
