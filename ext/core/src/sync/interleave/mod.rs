//! Runs a few threads through every order in which they can overtake one another. For tests.
//!
//! What they run is the real code, but on one thread of the system, each on a stack of its own, and only one at a time. It
//! stops where it meets what threads share (the lock and the parker of [`sync`](crate::sync)), and there any that could go on
//! may be the next. A run is the list of these choices; [`Explorer::explore`] repeats the scenario until each of the lists
//! has been had. What is shared without a lock or a parker must not matter for the order of things, like a counter; and a
//! thread that is unparked under a lock must need that lock next, because no thread is stopped between the two.
//!
//! The number of runs is bounded by [`Explorer::preemptions`]: how often in a run a thread is stopped that could have gone
//! on. Where a thread has to wait, every other may follow, without a bound. Few bugs need more than two preemptions. Time
//! is a choice like others: a wait with a limit may be over at any moment, [`Explorer::timeouts`] times in a run; and what
//! the server's runtime does at its time is run by a [`Clock`], which a thread of the scenario moves on.
//!
//! On the threads of other tests all of this does nothing.

pub(crate) mod execution;
pub(crate) mod path;
pub(crate) mod primitives;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use self::{
    execution::{Execution, Waiting},
    path::Path,
};

/// More runs than this are not a test.
const MOST_RUNS: usize = 500_000;

thread_local! {
    /// The run that goes on, on this thread.
    static EXECUTION: RefCell<Option<Rc<Execution>>> = const { RefCell::new(None) };
}

/// How far an exploration goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Explorer {
    /// How often in a run a thread is stopped that could go on.
    pub(crate) preemptions: usize,
    /// How often in a run a wait with a limit is over before the wake-up.
    pub(crate) timeouts: usize,
}

impl Explorer {
    /// Runs `scenario`, which [`spawn`]s the threads, in every order; returns how many there were.
    ///
    /// # Panics
    ///
    /// When a thread has panicked, or all that are left wait for ever; with the order in which that happens.
    pub(crate) fn explore(self, scenario: impl Fn()) -> usize {
        let mut path = Path::default();
        for run in 1..=MOST_RUNS {
            let execution = Rc::new(Execution::new(path, self));
            EXECUTION.set(Some(execution.clone()));
            scenario();
            let ended = execution.run();
            EXECUTION.set(None);
            path = ended.unwrap_or_else(|failure| panic!("in run {run}: {failure}"));
            if !path.advance() {
                return run;
            }
        }
        panic!("more than {MOST_RUNS} runs");
    }
}

fn execution() -> Option<Rc<Execution>> {
    // A thread that is ending is in no run.
    EXECUTION.try_with(|execution| execution.borrow().clone()).ok().flatten()
}

/// Adds a thread to the scenario, from its set-up or from another of its threads.
pub(crate) fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) {
    spawn_with(Waiting::Begin, name, body);
}

/// The same for one that begins when no other can go on.
pub(crate) fn spawn_when_quiet(name: &'static str, body: impl FnOnce() + Send + 'static) {
    spawn_with(Waiting::Quiet, name, body);
}

fn spawn_with(waiting: Waiting, name: &'static str, body: impl FnOnce() + Send + 'static) {
    let Some(execution) = execution() else { panic!("there is no scenario") };
    execution.join(name, waiting, |me| {
        if let Some(execution) = crate::sync::interleave::execution() {
            execution.live(me, body);
        }
    });
}

/// Another may go first.
pub(crate) fn point(what: &'static str) {
    pass(what, Waiting::Turn);
}

/// Waits until no other thread can go on, but for time that passes.
pub(crate) fn quiet() {
    pass("finds all quiet", Waiting::Quiet);
}

/// Hands over to the next thread, until it is this one's turn and what it waits for has come. Returns whether it has:
/// otherwise the wait's limit is over.
fn pass(what: &'static str, waiting: Waiting) -> bool {
    let Some(execution) = execution() else { return true };
    // In the set-up it is no thread's turn.
    let Some(me) = execution.turn() else { return true };
    execution.pass(me, what, waiting)
}

/// Waits for something that another thread does.
pub(crate) fn until(what: &'static str, came: impl Fn() -> bool + Send + 'static) {
    pass(what, Waiting::Event(Box::new(came)));
}

/// How far time is to go: by how many ticks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Arc<AtomicUsize>);

impl Clock {
    /// Lets time pass, for one tick.
    pub(crate) fn advance(&self) {
        point("lets time pass");
        self.0.fetch_add(1, SeqCst);
    }

    /// So many ticks have passed before the threads begin.
    pub(crate) fn set_up(&self, ticks: usize) {
        self.0.store(ticks, SeqCst);
    }

    /// How many ticks have passed, or are just passing.
    pub(crate) fn ticks(&self) -> usize {
        self.0.load(SeqCst)
    }

    /// Runs tasks of the server's runtime: its clock goes on by `tick` each time that this one is advanced, and stands still else.
    /// Ends when all other threads have ended.
    pub(crate) fn run(&self, tasks: impl Future<Output = ()>, tick: Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let woken = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let mut tasks = std::pin::pin!(tasks);
        let mut passed = 0;
        loop {
            let ticks = self.ticks();
            if ticks > passed {
                let time = tick * u32::try_from(ticks - passed).unwrap();
                passed = ticks;
                runtime.block_on(tokio::time::advance(time));
            }
            woken.0.store(false, SeqCst);
            let polled = std::future::poll_fn(|_| Poll::Ready(tasks.as_mut().poll(&mut Context::from_waker(&waker))));
            if runtime.block_on(polled).is_ready() {
                return;
            }
            let (flag, clock) = (woken.clone(), self.clone());
            pass("runs its tasks", Waiting::Job(Box::new(move || flag.0.load(SeqCst) || clock.ticks() > passed)));
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

#[cfg(test)]
mod tests;
