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
    /// In the app, holding or wanting the GVL.
    Running,
    /// In the app, without the GVL.
    Blocked,
    /// In the app, having run for so long that others no longer wait for it, or having said that they need not. It is
    /// one until it is done: when Ruby takes the GVL away at the end of a time slice, that looks like letting go of it
    /// and wanting it back.
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
                State::Running | State::Hog => tally.active += 1,
                State::Blocked | State::BlockedHog => tally.waiting += 1,
                State::Looking | State::Idle | State::Called => tally.idle += 1,
                State::Gone => {}
            }
        }
        tally
    }

    /// Whether one more may run.
    pub(crate) fn admits(&self) -> bool {
        self.count(State::Running) < LIMIT
    }

    /// Whom to wake, when an exchange waits.
    pub(crate) fn call(&mut self) -> Call {
        if self.count(State::Running) + self.count(State::Called) >= LIMIT {
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

    /// A worker that looks takes an exchange into the app.
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
            State::Running => State::Blocked,
            State::Hog => State::BlockedHog,
            other => other,
        };
    }

    /// A worker wants the GVL back.
    pub(crate) fn resume(&mut self, id: Id) {
        self.states[id] = match self.states[id] {
            State::Blocked => State::Running,
            State::BlockedHog => State::Hog,
            other => other,
        };
    }

    /// A worker says that it will mostly wait.
    pub(crate) fn step_aside(&mut self, id: Id) {
        self.states[id] = match self.states[id] {
            State::Running => State::Hog,
            State::Blocked => State::BlockedHog,
            other => other,
        };
    }

    /// Nothing was admitted for a while although something waits. Whether somebody ran.
    pub(crate) fn stall(&mut self) -> bool {
        let mut ran = false;
        for state in &mut self.states {
            if *state == State::Running {
                *state = State::Hog;
                ran = true;
            }
        }
        ran
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn crew(size: usize) -> (Admission, Vec<Id>) {
        let mut admission = Admission::default();
        let ids: Vec<Id> = (0..size).map(|_| admission.join()).collect();
        ids.iter().for_each(|id| admission.rest(*id));
        (admission, ids)
    }

    /// What a called worker does: it looks, and takes what waits.
    fn serve(admission: &mut Admission) -> Id {
        let Call::Wake(id) = admission.call() else { panic!("nobody was called") };
        admission.look(id);
        assert!(admission.admits());
        admission.take(id);
        id
    }

    #[test]
    fn one_computes_at_a_time() {
        let (mut admission, _) = crew(3);
        let first = serve(&mut admission);
        assert_eq!(admission.call(), Call::Nobody);
        admission.look(first);
        assert!(admission.admits(), "it may go on with the next at once");
    }

    #[test]
    fn those_who_wait_overlap() {
        let (mut admission, _) = crew(3);
        let first = serve(&mut admission);
        admission.suspend(first);
        let second = serve(&mut admission);
        assert_ne!(first, second);
        admission.suspend(second);
        serve(&mut admission);
    }

    #[test]
    fn one_that_comes_back_from_waiting_goes_before_the_next_request() {
        let (mut admission, _) = crew(2);
        let first = serve(&mut admission);
        admission.suspend(first);
        let second = serve(&mut admission);
        admission.resume(first);
        admission.look(second);
        assert!(!admission.admits(), "the first wants the GVL; the second makes way");
        admission.rest(second);
        assert_eq!(admission.call(), Call::Nobody);
        admission.look(first);
        assert!(admission.admits());
    }

    #[test]
    fn the_last_to_fall_idle_is_called_first() {
        let (mut admission, ids) = crew(3);
        assert_eq!(admission.call(), Call::Wake(ids[2]));
    }

    #[test]
    fn calls_once_until_the_called_one_looks() {
        let (mut admission, ids) = crew(2);
        assert_eq!(admission.call(), Call::Wake(ids[1]));
        assert_eq!(admission.call(), Call::Nobody);
        admission.look(ids[1]);
        admission.rest(ids[1]);
        assert_eq!(admission.call(), Call::Wake(ids[1]));
    }

    #[test]
    fn hires_when_all_are_blocked() {
        let (mut admission, _) = crew(1);
        let only = serve(&mut admission);
        admission.suspend(only);
        assert_eq!(admission.call(), Call::Hire);
    }

    #[test]
    fn a_hog_holds_up_nobody_until_it_is_done() {
        let (mut admission, _) = crew(2);
        let hog = serve(&mut admission);
        admission.stall();
        let other = serve(&mut admission);
        admission.look(other);
        assert!(admission.admits(), "it serves on, beside the hog");
        admission.take(other);
        admission.suspend(hog);
        admission.resume(hog);
        admission.look(other);
        assert!(admission.admits(), "the end of its time slice changes nothing");
        admission.look(hog);
        admission.take(hog);
        assert!(!admission.admits(), "its next request is like any other");
    }

    #[test]
    fn one_that_steps_aside_holds_up_nobody_until_it_is_done() {
        let (mut admission, _) = crew(2);
        let aside = serve(&mut admission);
        admission.step_aside(aside);
        let other = serve(&mut admission);
        assert_eq!(admission.tally(), Tally { active: 2, waiting: 0, idle: 0 });
        admission.suspend(aside);
        assert_eq!(admission.tally(), Tally { active: 1, waiting: 1, idle: 0 });
        admission.resume(aside);
        admission.look(other);
        assert!(admission.admits(), "it is not waited for, whatever it does");
        admission.step_aside(other);
        admission.rest(other);
        assert_eq!(admission.tally(), Tally { active: 1, waiting: 0, idle: 1 }, "outside the app that means nothing");
        admission.look(aside);
        admission.take(aside);
        assert!(!admission.admits(), "its next request is like any other");
    }

    #[test]
    fn only_the_idle_retire_and_not_the_last_ones() {
        let (mut admission, ids) = crew(3);
        assert!(admission.retire(ids[0], 1));
        assert_eq!(admission.call(), Call::Wake(ids[2]));
        assert!(!admission.retire(ids[2], 1), "it is called");
        assert!(admission.retire(ids[1], 1));
        admission.look(ids[2]);
        admission.rest(ids[2]);
        assert!(!admission.retire(ids[2], 1), "it is the last");
        assert_eq!((admission.workers(), admission.idle()), (1, 1));
        assert!(admission.retire(ids[2], 0));
        assert_eq!(admission.call(), Call::Hire);
    }

    #[test]
    fn events_outside_the_app_mean_nothing() {
        let (mut admission, ids) = crew(1);
        admission.suspend(ids[0]);
        admission.resume(ids[0]);
        assert_eq!(admission.call(), Call::Wake(ids[0]));
        admission.look(ids[0]);
        admission.suspend(ids[0]);
        admission.resume(ids[0]);
        assert!(admission.admits());
    }

    #[test]
    fn a_worker_that_leaves_is_in_nobodys_way() {
        let (mut admission, ids) = crew(2);
        let running = serve(&mut admission);
        admission.leave(running);
        assert_eq!((admission.workers(), admission.idle()), (1, 1));
        assert_eq!(admission.call(), Call::Wake(ids[0]));
        admission.leave(ids[0]);
        assert_eq!(admission.call(), Call::Hire);
        assert_eq!(admission.join(), 0, "numbers are given out again");
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Arrive,
        Act(usize, u8),
        Stall,
        Join,
        Leave(usize),
        Retire(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Arrive),
            8 => (0usize..6, 0u8..5).prop_map(|(who, what)| Step::Act(who, what)),
            1 => Just(Step::Stall),
            1 => Just(Step::Join),
            1 => (0usize..6).prop_map(Step::Leave),
            1 => (0usize..6).prop_map(Step::Retire),
        ]
    }

    proptest! {
        /// Whatever workers do in whatever order: never more run than may, and while something waits there is always
        /// somebody who runs, comes, looks, or is asked for.
        #[test]
        fn admits_no_more_than_may_run_and_forgets_nothing(script in proptest::collection::vec(any_step(), 0..200)) {
            let mut admission = Admission::default();
            let mut waiting = 0usize;
            let mut hired = 0usize;
            for step in script {
                match step {
                    Step::Arrive => waiting += 1,
                    Step::Stall => if waiting > 0 { admission.stall(); },
                    Step::Join => { admission.join(); hired = hired.saturating_sub(1); }
                    Step::Retire(who) => if who < admission.states.len() { admission.retire(who, 1); },
                    Step::Leave(who) => if who < admission.states.len() { admission.leave(who) },
                    Step::Act(who, what) => {
                        let Some(state) = admission.states.get(who).copied() else { continue };
                        match (state, what) {
                            (State::Looking, _) => {
                                if waiting > 0 && admission.admits() {
                                    waiting -= 1;
                                    admission.take(who);
                                } else {
                                    admission.rest(who);
                                }
                            }
                            (State::Called | State::Idle, _) => admission.look(who),
                            (State::Running | State::Hog, 0..=1) => admission.suspend(who),
                            (State::Running | State::Hog, 2..) => admission.look(who),
                            (State::Blocked | State::BlockedHog, _) => admission.resume(who),
                            (State::Gone, _) => {}
                        }
                    }
                }
                if waiting > 0 {
                    match admission.call() {
                        Call::Hire => hired += 1,
                        Call::Wake(_) => prop_assert!(admission.count(State::Running) + admission.count(State::Called) <= LIMIT),
                        Call::Nobody => {}
                    }
                    let somebody = [State::Running, State::Called, State::Looking].iter().any(|state| admission.count(*state) > 0);
                    prop_assert!(somebody || hired > 0, "{waiting} wait and nobody comes: {admission:?}");
                }
                prop_assert_eq!(admission.idle(), admission.count(State::Idle));
            }
        }
    }
}
