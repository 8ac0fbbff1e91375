//! One run: which thread has the turn, and what the others wait for.

use std::{
    any::Any,
    cell::{RefCell, RefMut},
    collections::HashMap,
    fmt::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use generator::{Generator, Gn};

use super::{Explorer, Path};

/// A run with more steps than this does not end.
const MOST_STEPS: usize = 20_000;

/// A thread's stack, in words.
const STACK: usize = 32 * 1024;

/// Whether what a thread waits for has come.
type Event = Box<dyn Fn() -> bool + Send>;

/// What a thread needs to go on.
pub(super) enum Waiting {
    /// To begin. It does at once: up to its first stop there is nothing that others could notice.
    Begin,
    /// Nothing.
    Turn,
    /// The lock at this address.
    Lock(usize),
    /// Something that another thread does.
    Event(Event),
    /// The same, but if it never comes because all others have ended, that is well.
    Job(Event),
    /// Something that another thread does, or that its time is over.
    EventOrTime(Event),
    /// That no other thread can go on.
    Quiet,
    /// It has ended.
    Never,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Begin | Self::Turn => "a turn",
            Self::Lock(_) => "a lock",
            Self::Event(_) | Self::Job(_) | Self::EventOrTime(_) => "an event",
            Self::Quiet => "quiet",
            Self::Never => "nothing",
        })
    }
}

/// A run and its threads.
#[derive(Debug)]
pub(super) struct Execution(RefCell<Run>);

#[derive(Debug)]
struct Run {
    explorer: Explorer,
    path: Path,
    actors: Vec<Actor>,
    /// The thread that has the turn; none before the beginning and after the end.
    turn: Option<usize>,
    /// Whether it has the turn because the limit of its wait is over.
    late: bool,
    /// The locks that are held, and the threads that hold them.
    held: HashMap<usize, usize>,
    /// The thread that had the turn when another began.
    interrupted: Option<usize>,
    preemptions: usize,
    timeouts: usize,
    steps: Vec<(usize, &'static str)>,
    /// The run goes no further: every thread panics at its next stop.
    abandoned: bool,
    failure: Option<String>,
}

#[derive(Debug)]
struct Actor {
    name: &'static str,
    waiting: Waiting,
    what: &'static str,
    /// What it runs on, while it does not.
    fiber: Option<Generator<'static, (), ()>>,
}

/// What a thread panics with that ends because another has failed.
struct Abandoned;

impl Execution {
    pub(super) fn new(path: Path, explorer: Explorer) -> Self {
        Self(RefCell::new(Run {
            explorer,
            path,
            actors: Vec::new(),
            turn: None,
            late: false,
            held: HashMap::new(),
            interrupted: None,
            preemptions: 0,
            timeouts: 0,
            steps: Vec::new(),
            abandoned: false,
            failure: None,
        }))
    }

    fn state(&self) -> RefMut<'_, Run> {
        self.0.borrow_mut()
    }

    // ===== the scenario =====

    /// A thread joins; `body` [`live`](Self::live)s its life.
    pub(super) fn join(&self, name: &'static str, waiting: Waiting, body: impl FnOnce(usize) + Send + 'static) {
        let mut state = self.state();
        let me = state.actors.len();
        let fiber = Some(Gn::new_opt(STACK, move || body(me)));
        state.actors.push(Actor { name, waiting, what: "begins", fiber });
    }

    /// Runs it all to its end.
    pub(super) fn run(&self) -> Result<Path, String> {
        self.state().give_turn(None);
        while let Some(turn) = self.turn() {
            self.resume(turn);
        }
        let all = 0..self.state().actors.len();
        all.for_each(|thread| self.resume(thread));
        let mut state = self.state();
        match state.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut state.path)),
        }
    }

    /// Lets a thread run until it stops.
    fn resume(&self, thread: usize) {
        let fiber = self.state().actors[thread].fiber.take();
        if let Some(mut fiber) = fiber {
            fiber.resume();
            if !fiber.is_done() {
                self.state().actors[thread].fiber = Some(fiber);
            }
        }
    }

    pub(super) fn turn(&self) -> Option<usize> {
        self.state().turn
    }

    // ===== one thread =====

    /// A thread's life, from its first turn to its end.
    pub(super) fn live(&self, me: usize, body: impl FnOnce()) {
        if self.state().abandoned {
            return;
        }
        let ended = catch_unwind(AssertUnwindSafe(body));
        let mut state = self.state();
        state.actors[me].waiting = Waiting::Never;
        match ended {
            Ok(()) => state.give_turn(Some(me)),
            Err(panic) if panic.is::<Abandoned>() => {}
            Err(panic) => {
                let reason = format!("{} panicked: {}", state.actors[me].name, text(&*panic));
                state.fail(&reason);
            }
        }
    }

    /// Hands over, until what the thread waits for has come and it has the turn. Returns whether it has come: otherwise
    /// the limit is over.
    pub(super) fn pass(&self, me: usize, what: &'static str, waiting: Waiting) -> bool {
        if thread::panicking() {
            // It cleans up, and stops no more. The locks that it needs for that are free: a thread that holds one is not stopped.
            return true;
        }
        let mut state = self.state();
        if !state.abandoned {
            // The thread that ran when this one began may go on.
            let last = if matches!(state.actors[me].waiting, Waiting::Begin) { state.interrupted } else { Some(me) };
            state.actors[me].waiting = waiting;
            state.actors[me].what = what;
            state.give_turn(last);
        }
        let goes_on = state.turn == Some(me);
        drop(state);
        if !goes_on {
            // That there is a newer way, which needs a handle in every function on the way here, is no help.
            #[allow(deprecated)]
            generator::yield_with(());
        }
        if self.state().abandoned {
            resume_unwind(Box::new(Abandoned));
        }
        !self.state().late
    }

    pub(super) fn holds_a_lock(&self, me: usize) -> bool {
        self.state().held.values().any(|holder| *holder == me)
    }

    pub(super) fn release(&self, lock: usize) {
        self.state().held.remove(&lock);
    }
}

impl Run {
    /// Chooses the next thread, after `last`.
    fn give_turn(&mut self, last: Option<usize>) {
        if self.actors.iter().all(|actor| matches!(actor.waiting, Waiting::Never | Waiting::Job(_))) {
            return self.abandon();
        }
        let options = self.options(last);
        if options.is_empty() {
            return self.fail("all wait for ever");
        }
        if self.steps.len() == MOST_STEPS {
            return self.fail("there is no end to it");
        }
        let next = options[self.path.choose(options.len())];
        if matches!(self.actors[next].waiting, Waiting::Begin) {
            self.interrupted = last;
        } else if last.is_some_and(|last| next != last && self.is_ready(last)) {
            self.preemptions += 1;
        }
        self.late = !self.is_ready(next) && matches!(self.actors[next].waiting, Waiting::EventOrTime(_));
        self.timeouts += usize::from(self.late);
        if let Waiting::Lock(lock) = self.actors[next].waiting {
            self.held.insert(lock, next);
        }
        self.steps.push((next, if self.late { "has waited long enough" } else { self.actors[next].what }));
        self.turn = Some(next);
    }

    /// The threads that may be next: first the one that runs, if it can go on.
    fn options(&self, last: Option<usize>) -> Vec<usize> {
        let threads = 0..self.actors.len();
        if let Some(new) = threads.clone().find(|thread| matches!(self.actors[*thread].waiting, Waiting::Begin)) {
            return vec![new];
        }
        let ready: Vec<usize> = threads.clone().filter(|thread| self.is_ready(*thread)).collect();
        let goes_on = last.filter(|last| ready.contains(last));
        if let Some(last) = goes_on
            && self.preemptions == self.explorer.preemptions
        {
            return vec![last];
        }
        let quiet =
            threads.clone().find(|thread| ready.is_empty() && matches!(self.actors[*thread].waiting, Waiting::Quiet));
        let timed = threads.filter(|thread| {
            self.timeouts < self.explorer.timeouts
                && matches!(self.actors[*thread].waiting, Waiting::EventOrTime(_))
                && !ready.contains(thread)
        });
        let others = ready.iter().copied().filter(|thread| Some(*thread) != goes_on);
        goes_on.into_iter().chain(others).chain(quiet).chain(timed).collect()
    }

    /// Whether a thread can go on without anything else being done, and without time.
    fn is_ready(&self, thread: usize) -> bool {
        match &self.actors[thread].waiting {
            Waiting::Begin | Waiting::Turn => true,
            Waiting::Lock(lock) => !self.held.contains_key(lock),
            Waiting::Event(came) | Waiting::Job(came) | Waiting::EventOrTime(came) => came(),
            Waiting::Quiet | Waiting::Never => false,
        }
    }

    /// Ends the run.
    fn abandon(&mut self) {
        self.abandoned = true;
        self.turn = None;
    }

    /// Ends the run, which has failed.
    fn fail(&mut self, reason: &str) {
        if self.failure.is_none() {
            let mut text = format!("{reason}\n");
            for (thread, what) in &self.steps {
                // A string takes whatever is written.
                let _ = writeln!(text, "  {} {what}", self.actors[*thread].name);
            }
            for actor in self.actors.iter().filter(|actor| !matches!(actor.waiting, Waiting::Never)) {
                let _ = writeln!(text, "  {} is left: {}, for {:?}", actor.name, actor.what, actor.waiting);
            }
            self.failure = Some(text);
        }
        self.abandon();
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("?")
}
