//! Which worker is called, in the cases that matter and in any. That exchanges are taken in their order is the queue's affair.

use super::*;
use proptest::prelude::*;

fn workers(size: usize) -> (Admission, Vec<Id>) {
    let mut admission = Admission::default();
    let ids: Vec<Id> = (0..size).map(|_| admission.join()).collect();
    ids.iter().for_each(|id| admission.rest(*id));
    (admission, ids)
}

/// What a called worker does: it looks, and takes what waits.
fn serve(admission: &mut Admission) -> Id {
    let Call::Wake(id) = admission.call() else { panic!("none was called") };
    admission.look(id);
    assert!(admission.admits());
    admission.take(id);
    id
}

#[test]
fn one_computes_at_a_time() {
    let (mut admission, _) = workers(3);
    let first = serve(&mut admission);
    assert_eq!(admission.call(), Call::NoWorker);
    admission.look(first);
    assert!(admission.admits(), "it may go on with the next at once");
}

#[test]
fn workers_that_wait_overlap() {
    let (mut admission, _) = workers(3);
    let first = serve(&mut admission);
    admission.suspended(first);
    let second = serve(&mut admission);
    assert_ne!(first, second);
    admission.suspended(second);
    serve(&mut admission);
}

#[test]
fn one_that_comes_back_from_waiting_goes_before_the_next_request() {
    let (mut admission, _) = workers(2);
    let first = serve(&mut admission);
    admission.suspended(first);
    let second = serve(&mut admission);
    admission.ready(first);
    admission.look(second);
    assert!(!admission.admits(), "the first wants the GVL; the second makes way");
    admission.rest(second);
    assert_eq!(admission.call(), Call::NoWorker);
    admission.look(first);
    assert!(admission.admits());
}

#[test]
fn the_last_to_fall_idle_is_called_first() {
    let (mut admission, ids) = workers(3);
    assert_eq!(admission.call(), Call::Wake(ids[2]));
}

#[test]
fn calls_once_until_the_called_one_looks() {
    let (mut admission, ids) = workers(2);
    assert_eq!(admission.call(), Call::Wake(ids[1]));
    assert_eq!(admission.call(), Call::NoWorker);
    admission.look(ids[1]);
    admission.rest(ids[1]);
    assert_eq!(admission.call(), Call::Wake(ids[1]));
}

#[test]
fn none_is_called_while_one_looks_for_itself() {
    let (mut admission, ids) = workers(2);
    admission.look(ids[0]);
    assert_eq!(admission.call(), Call::NoWorker, "it will find what waits before it falls asleep");
    admission.rest(ids[0]);
    assert_eq!(admission.call(), Call::Wake(ids[0]));
}

/// Between two requests a thread may be in a finalizer of the app's, and not come for long.
#[test]
fn another_is_called_for_one_that_does_not_come() {
    let (mut admission, ids) = workers(3);
    admission.look(ids[0]);
    assert!(!admission.stall(), "no hog is found");
    assert_eq!(admission.call(), Call::Wake(ids[2]));
    assert!(!admission.stall());
    assert_eq!(admission.call(), Call::Wake(ids[1]));
    assert_eq!(admission.tally().idle, 3);
    admission.look(ids[2]);
    assert!(admission.admits(), "it has come after all");
    admission.take(ids[2]);
    admission.look(ids[1]);
    assert!(!admission.admits());
}

#[test]
fn hires_when_all_are_blocked() {
    let (mut admission, _) = workers(1);
    let only = serve(&mut admission);
    admission.suspended(only);
    assert_eq!(admission.call(), Call::Hire);
}

#[test]
fn a_hog_holds_up_no_other_until_it_is_done() {
    let (mut admission, _) = workers(2);
    let hog = serve(&mut admission);
    admission.stall();
    let other = serve(&mut admission);
    admission.look(other);
    assert!(admission.admits(), "it serves on, beside the hog");
    admission.take(other);
    admission.suspended(hog);
    admission.ready(hog);
    admission.look(other);
    assert!(admission.admits(), "the end of its time slice changes nothing");
    admission.look(hog);
    admission.take(hog);
    assert!(!admission.admits(), "its next request is like any other");
}

#[test]
fn one_that_is_io_bound_holds_up_no_other_until_it_is_done() {
    let (mut admission, _) = workers(2);
    let aside = serve(&mut admission);
    admission.mark_io_bound(aside);
    let other = serve(&mut admission);
    assert_eq!(admission.tally(), Tally { active: 2, waiting: 0, idle: 0 });
    admission.suspended(aside);
    assert_eq!(admission.tally(), Tally { active: 1, waiting: 1, idle: 0 });
    admission.ready(aside);
    admission.look(other);
    assert!(admission.admits(), "it is not waited for, whatever it does");
    admission.mark_io_bound(other);
    admission.rest(other);
    assert_eq!(admission.tally(), Tally { active: 1, waiting: 0, idle: 1 }, "outside the app that means nothing");
    admission.look(aside);
    admission.take(aside);
    assert!(!admission.admits(), "its next request is like any other");
}

#[test]
fn only_the_idle_retire_and_not_the_last_ones() {
    let (mut admission, ids) = workers(3);
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
    let (mut admission, ids) = workers(1);
    admission.suspended(ids[0]);
    admission.ready(ids[0]);
    assert_eq!(admission.call(), Call::Wake(ids[0]));
    admission.look(ids[0]);
    admission.suspended(ids[0]);
    admission.ready(ids[0]);
    assert!(admission.admits());
}

#[test]
fn a_worker_that_leaves_is_not_in_the_way() {
    let (mut admission, ids) = workers(2);
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
        8 => (0usize..6, 0u8..5).prop_map(|(id, what)| Step::Act(id, what)),
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
        let known = self.admission.workers.numbers();
        match step {
            Step::Arrive => self.waiting += 1,
            Step::Stall if self.waiting > 0 => drop(self.admission.stall()),
            Step::Stall => {}
            Step::Join => {
                self.admission.join();
                self.hired = self.hired.saturating_sub(1);
            }
            Step::Retire(id) if id < known => drop(self.admission.retire(id, 1)),
            Step::Leave(id) if id < known => self.admission.leave(id),
            Step::Act(id, what) if id < known => self.act(id, what),
            Step::Retire(_) | Step::Leave(_) | Step::Act(..) => {}
        }
    }

    fn act(&mut self, id: Id, what: u8) {
        match (self.admission.workers.state(id), what) {
            (WorkerState::Looking, _) => self.take_or_rest(id),
            (WorkerState::Called | WorkerState::Idle | WorkerState::Late, _) => self.admission.look(id),
            (WorkerState::Wanting, 0..=2) => self.admission.resumed(id),
            (WorkerState::Wanting, 3..) => self.admission.mark_io_bound(id),
            (WorkerState::Running | WorkerState::Hog, 0..=1) => self.admission.suspended(id),
            (WorkerState::Running | WorkerState::Hog, 2) => self.admission.mark_io_bound(id),
            (WorkerState::Running | WorkerState::Hog, 3..) => self.admission.look(id),
            (WorkerState::Blocked | WorkerState::BlockedHog, _) => self.admission.ready(id),
            (WorkerState::Gone, _) => {}
        }
    }

    fn take_or_rest(&mut self, id: Id) {
        if self.waiting > 0 && self.admission.admits() {
            self.waiting -= 1;
            self.admission.take(id);
        } else {
            self.admission.rest(id);
        }
    }
}

proptest! {
    /// Whatever workers do in whatever order: never more run than may, and while an exchange waits there is always a worker
    /// that runs, comes, looks, or is asked for.
    #[test]
    fn admits_no_more_than_may_run_and_forgets_nothing(script in proptest::collection::vec(any_step(), 0..200)) {
        let mut plant = Plant::default();
        for step in script {
            plant.follow(step);
            let admission = &mut plant.admission;
            let count = |admission: &Admission, states: &[WorkerState]| -> usize { states.iter().map(|state| admission.workers.count(*state)).sum() };
            if plant.waiting > 0 {
                match admission.call() {
                    Call::Hire => plant.hired += 1,
                    Call::Wake(_) => prop_assert!(count(admission, &[WorkerState::Running, WorkerState::Wanting, WorkerState::Called]) <= LIMIT),
                    Call::NoWorker => {}
                }
                let one_sees_to_it = count(admission, &[WorkerState::Running, WorkerState::Wanting, WorkerState::Called, WorkerState::Looking]) > 0;
                prop_assert!(one_sees_to_it || plant.hired > 0, "no worker comes: {plant:?}");
            }
            prop_assert_eq!(plant.admission.idle(), plant.admission.workers.list(List::Idle).count());
        }
    }

    /// Wherever the workers have come to, and though no worker in the app ever leaves it or blocks: each time that the stall
    /// guard acts, or the next, one more exchange is admitted, as long as there may be a worker for it.
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
        // The workers on their way arrive; they take one, or find that another runs.
        for id in 0..plant.admission.workers.numbers() {
            if [WorkerState::Looking, WorkerState::Called, WorkerState::Late].contains(&plant.admission.workers.state(id)) {
                plant.admission.look(id);
                plant.take_or_rest(id);
            }
        }
        while plant.waiting > 0 {
            let before = plant.waiting;
            plant.admission.stall();
            let mut called = plant.admission.call();
            if called == Call::NoWorker {
                // One held the GVL and others wanted it; they are not in the way either, after the same time again.
                plant.admission.stall();
                called = plant.admission.call();
            }
            let id = match called {
                Call::Wake(id) => id,
                Call::Hire => plant.admission.join(),
                Call::NoWorker => return Err(TestCaseError::fail(format!("they wait for ever: {plant:?}"))),
            };
            plant.admission.look(id);
            plant.take_or_rest(id);
            prop_assert_eq!(plant.waiting, before - 1, "{:?}", &plant);
        }
    }
}
