//! Who is called, in the cases that matter and in any. That exchanges are taken in their order is the queue's affair.

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

/// Workers that do what workers may do, and exchanges that wait for them.
#[derive(Debug, Default)]
struct Plant {
    admission: Admission,
    waiting: usize,
    hired: usize,
}

impl Plant {
    fn follow(&mut self, step: Step) {
        let known = self.admission.states.len();
        match step {
            Step::Arrive => self.waiting += 1,
            Step::Stall if self.waiting > 0 => drop(self.admission.stall()),
            Step::Stall => {}
            Step::Join => {
                self.admission.join();
                self.hired = self.hired.saturating_sub(1);
            }
            Step::Retire(who) if who < known => drop(self.admission.retire(who, 1)),
            Step::Leave(who) if who < known => self.admission.leave(who),
            Step::Act(who, what) if who < known => self.act(who, what),
            Step::Retire(_) | Step::Leave(_) | Step::Act(..) => {}
        }
    }

    fn act(&mut self, who: Id, what: u8) {
        match (self.admission.states[who], what) {
            (State::Looking, _) => self.take_or_rest(who),
            (State::Called | State::Idle, _) => self.admission.look(who),
            (State::Wanting, 0..=2) => self.admission.hold(who),
            (State::Wanting, 3..) => self.admission.step_aside(who),
            (State::Running | State::Hog, 0..=1) => self.admission.suspend(who),
            (State::Running | State::Hog, 2) => self.admission.step_aside(who),
            (State::Running | State::Hog, 3..) => self.admission.look(who),
            (State::Blocked | State::BlockedHog, _) => self.admission.resume(who),
            (State::Gone, _) => {}
        }
    }

    fn take_or_rest(&mut self, who: Id) {
        if self.waiting > 0 && self.admission.admits() {
            self.waiting -= 1;
            self.admission.take(who);
        } else {
            self.admission.rest(who);
        }
    }
}

proptest! {
    /// Whatever workers do in whatever order: never more run than may, and while something waits there is always
    /// somebody who runs, comes, looks, or is asked for.
    #[test]
    fn admits_no_more_than_may_run_and_forgets_nothing(script in proptest::collection::vec(any_step(), 0..200)) {
        let mut plant = Plant::default();
        for step in script {
            plant.follow(step);
            let admission = &mut plant.admission;
            let count = |admission: &Admission, states: &[State]| -> usize { states.iter().map(|state| admission.count(*state)).sum() };
            if plant.waiting > 0 {
                match admission.call() {
                    Call::Hire => plant.hired += 1,
                    Call::Wake(_) => prop_assert!(count(admission, &[State::Running, State::Wanting, State::Called]) <= LIMIT),
                    Call::Nobody => {}
                }
                let somebody = count(admission, &[State::Running, State::Wanting, State::Called, State::Looking]) > 0;
                prop_assert!(somebody || plant.hired > 0, "nobody comes: {plant:?}");
            }
            prop_assert_eq!(plant.admission.idle(), plant.admission.count(State::Idle));
        }
    }

    /// Wherever the workers have come to, and though nobody who is in the app ever leaves it or blocks: each time that the
    /// guard speaks up, or the next, one more exchange is admitted, as long as there may be a worker for it.
    #[test]
    fn nothing_waits_longer_than_the_stall_guard_allows(
        script in proptest::collection::vec(any_step(), 0..100),
        waiting in 1usize..6,
    ) {
        let mut plant = Plant::default();
        for step in script {
            plant.follow(step);
            if plant.waiting > 0 {
                plant.admission.call();
            }
        }
        plant.waiting += waiting;
        // Those who are on their way arrive; they take one, or find that somebody runs.
        for who in 0..plant.admission.states.len() {
            if [State::Looking, State::Called].contains(&plant.admission.states[who]) {
                plant.admission.look(who);
                plant.take_or_rest(who);
            }
        }
        while plant.waiting > 0 {
            let before = plant.waiting;
            plant.admission.stall();
            let mut called = plant.admission.call();
            if called == Call::Nobody {
                // One held the GVL and others wanted it; they are in nobody's way either, after the same time again.
                plant.admission.stall();
                called = plant.admission.call();
            }
            let who = match called {
                Call::Wake(who) => who,
                Call::Hire => plant.admission.join(),
                Call::Nobody => return Err(TestCaseError::fail(format!("they wait for ever: {plant:?}"))),
            };
            plant.admission.look(who);
            plant.take_or_rest(who);
            prop_assert_eq!(plant.waiting, before - 1, "{:?}", &plant);
        }
    }
}
