//! The queue from connections to workers: bounded, first come first served, and full is a value.
//!
//! A worker takes an exchange only when it can run it, as [`admission`] decides: it looks, sleeps
//! while there is nothing for it, and is called when there is. Between the call and the taking, a worker may be ended
//! by its own program; then another is called in its place.

pub(crate) mod admission;
pub(crate) mod estimates;
pub(crate) mod guard;
pub(crate) mod gvl_events;
pub(crate) mod gvl_times;
pub(crate) mod pace;
pub(crate) mod time_slice;
pub(crate) mod timers;
pub(crate) mod worker;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::TrySendError;
use tokio::sync::Notify;

use self::{
    estimates::{BRIEF, Habits},
    guard::QueueGuard,
    gvl_times::GvlTimes,
    pace::Pace,
};
pub use self::{
    gvl_events::GvlEvents,
    worker::{Next, Rest, Worker},
};
pub(crate) use crate::pool::admission::Tally;
use crate::{
    exchange::Exchange,
    pool::admission::{Admission, Call, Id},
    stats::{Shed, Stats},
    sync::{
        Mutex, Receiver, Sender, bounded,
        wake::{Parker, Unparker},
    },
};

/// The queue and the workers that wait for it.
#[derive(Debug)]
pub struct DispatchQueue {
    waiting: Sender<Exchange>,
    ready: Receiver<Exchange>,
    capacity: usize,
    /// How long an exchange may wait; `None` is for ever.
    patience: Option<Duration>,
    crew: Mutex<Crew>,
    /// Rings when exchanges begin to wait behind one that runs.
    backlog: Notify,
    /// Rings when exchanges begin to wait at all, if there is an end to their patience.
    aging: Notify,
    stats: Arc<Stats>,
}

/// Who is there to work.
#[derive(Debug)]
struct Crew {
    closed: bool,
    admission: Admission,
    /// The one that has waited longest, where somebody has looked at how long that is: a channel can't be looked into.
    head: Option<Box<Exchange>>,
    /// How fast those that wait are taken.
    pace: Pace,
    /// What requests are like.
    habits: Habits,
    /// When somebody last let go of the interpreter's lock in the app.
    paused: Option<Instant>,
    /// When the server's patience ends, once it is about to.
    deadline: Option<Instant>,
    /// The most exchanges that have waited at a time, since somebody last asked.
    deepest: usize,
    /// By the workers' numbers, as the next.
    unparkers: Vec<Unparker>,
    /// With the exchanges in their hands.
    turns: Vec<GvlTimes>,
    /// How many workers there may be.
    max_workers: usize,
    /// How many there are to be, however little there is to do.
    min_workers: usize,
    /// How long a worker beyond those may have nothing to do; `None` is for ever.
    idle_limit: Option<Duration>,
    /// Workers that the foreman was asked for and that have not registered yet.
    promised: usize,
    /// Workers that are wanted, which the foreman has not heard of. Apart from the promised ones, because workers also
    /// come unasked, and what one of those takes from `promised` must be a promise.
    unheard: usize,
    /// The one who creates workers.
    foreman: Option<Unparker>,
    /// Exchanges taken so far.
    taken: u64,
    /// When a worker last gave a sign of life: it looked for an exchange, or left the app in another way.
    looked: Option<Instant>,
    /// Who has been called: woken when the lock is let go of.
    called: Option<Unparker>,
    /// Whether a backlog is being watched.
    watched: bool,
    /// Whether it is being watched how long exchanges wait.
    aging: bool,
}

/// Why an exchange was not queued; it is given back.
#[derive(Debug)]
pub enum Rejected {
    /// As many wait as may.
    Full(Box<Exchange>),
    /// The server has ended, or will have before its turn would come.
    Closed(Box<Exchange>),
}

/// What the foreman is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// One more worker, which will [`register`](DispatchQueue::register).
    Worker,
    /// Nothing ever again.
    Over,
}

impl DispatchQueue {
    /// A queue of at most `capacity` exchanges, each of which waits no longer than `patience`, for at most `max_workers`
    /// workers; at least one of each.
    pub fn new(capacity: usize, patience: Option<Duration>, max_workers: usize, stats: Arc<Stats>) -> Arc<Self> {
        let capacity = capacity.max(1);
        let (waiting, ready) = bounded(capacity);
        let crew = Mutex::new(Crew {
            closed: false,
            admission: Admission::default(),
            head: None,
            pace: Pace::default(),
            habits: Habits::default(),
            paused: None,
            deadline: None,
            deepest: 0,
            unparkers: Vec::new(),
            turns: Vec::new(),
            max_workers: max_workers.max(1),
            min_workers: 0,
            idle_limit: None,
            promised: 0,
            unheard: 0,
            foreman: None,
            taken: 0,
            looked: None,
            called: None,
            watched: false,
            aging: false,
        });
        Arc::new(Self { waiting, ready, capacity, patience, crew, backlog: Notify::new(), aging: Notify::new(), stats })
    }

    fn crew(&self) -> QueueGuard<'_> {
        // No code that can panic runs under this lock.
        QueueGuard::new(self.crew.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Sets how many workers there may be from now on; at least one.
    pub fn limit_workers(&self, max_workers: usize) {
        self.crew().max_workers = max_workers.max(1);
    }

    /// Has workers beyond `min_workers` leave that have nothing to do for as long as `idle_limit`.
    pub fn retire_idle(&self, min_workers: usize, idle_limit: Option<Duration>) {
        let mut crew = self.crew();
        crew.min_workers = min_workers;
        crew.idle_limit = idle_limit;
    }

    /// How many workers there may be.
    pub fn max_workers(&self) -> usize {
        self.crew().max_workers
    }

    /// Queues an exchange and sees to it that a worker comes for it.
    ///
    /// # Errors
    ///
    /// The exchange, when the queue is full or the server has ended.
    pub fn submit(&self, exchange: Exchange) -> Result<(), Rejected> {
        let mut crew = self.crew();
        if crew.closed || self.is_too_late(&crew, exchange.request.queued) {
            return Err(Rejected::Closed(Box::new(exchange)));
        }
        if crew.head.is_some() && self.ready.len() + 1 >= self.capacity {
            return Err(Rejected::Full(Box::new(exchange)));
        }
        if let Err(refused) = self.waiting.try_send(exchange) {
            return Err(match refused {
                TrySendError::Full(exchange) => Rejected::Full(Box::new(exchange)),
                TrySendError::Disconnected(exchange) => Rejected::Closed(Box::new(exchange)),
            });
        }
        crew.deepest = crew.deepest.max(self.waiting_with(&crew));
        if self.patience.is_some() && !crew.aging {
            crew.aging = true;
            self.aging.notify_one();
        }
        self.call_someone(&mut crew);
        Ok(())
    }

    /// Whether one more would not be taken before the server's patience ends.
    fn is_too_late(&self, crew: &Crew, now: Instant) -> bool {
        crew.room_before_end(now).is_some_and(|room| self.waiting_with(crew) >= room)
    }

    /// The server's patience ends at `deadline`: exchanges whose turn would come after it are sent back now, and not when
    /// they have waited for it, as are those that come from now on.
    pub(crate) fn end_by(&self, deadline: Instant, now: Instant) {
        let mut crew = self.crew();
        crew.deadline = Some(deadline);
        let Some(room) = crew.room_before_end(now) else { return };
        let room = room.saturating_sub(usize::from(crew.head.is_some()));
        let waiting: Vec<Exchange> = self.ready.try_iter().collect();
        let mut late = Vec::new();
        for (turn, exchange) in waiting.into_iter().enumerate() {
            if turn >= room {
                late.push(exchange);
            } else if let Err(refused) = self.waiting.try_send(exchange) {
                // Nobody sends without this lock, so that there is room for what was there.
                late.push(refused.into_inner());
            }
        }
        drop(crew);
        late.into_iter().for_each(|exchange| exchange.send_back(Shed::Ending));
    }

    /// How many exchanges wait.
    fn waiting_with(&self, crew: &Crew) -> usize {
        usize::from(crew.head.is_some()) + self.ready.len()
    }

    fn none_waits(&self, crew: &Crew) -> bool {
        crew.head.is_none() && self.ready.is_empty()
    }

    /// The exchange that has waited longest, out of the queue.
    fn first(&self, crew: &mut Crew) -> Option<Box<Exchange>> {
        crew.head.take().or_else(|| self.ready.try_recv().ok().map(Box::new))
    }

    /// When an exchange will have waited for too long.
    fn limit(&self, exchange: &Exchange) -> Option<Instant> {
        self.patience.map(|patience| exchange.request.queued + patience)
    }

    /// Sees to what waits, after something has changed about the crew.
    fn attend_to_backlog(&self, crew: &mut Crew) {
        if !crew.closed && !self.none_waits(crew) {
            self.call_someone(crew);
        }
    }

    /// Has a worker come for an exchange that waits, if one may run.
    fn call_someone(&self, crew: &mut Crew) {
        if self.call_or_hire(crew) {
            crew.ask_for_one();
        }
    }

    /// The same, but for the asking: whether one more worker is wanted, and may be.
    fn call_or_hire(&self, crew: &mut Crew) -> bool {
        match crew.admission.call() {
            Call::Wake(id) => crew.is_called(id),
            Call::Hire => return crew.expected() < crew.max_workers,
            Call::Nobody => self.watch(crew),
        }
        false
    }

    /// Sees to it that what waits behind one that runs does not wait for too long.
    fn watch(&self, crew: &mut Crew) {
        if !crew.watched {
            crew.watched = true;
            self.backlog.notify_one();
        }
    }

    /// Adds a worker to the crew, for as long as the value exists.
    pub fn register(self: &Arc<Self>) -> Worker {
        let parker = Parker::new();
        let mut crew = self.crew();
        crew.promised = crew.promised.saturating_sub(1);
        let id = crew.admission.join();
        if id < crew.unparkers.len() {
            crew.unparkers[id] = parker.unparker();
        } else {
            crew.unparkers.push(parker.unparker());
            crew.turns.push(GvlTimes::default());
        }
        drop(crew);
        Worker::new(self.clone(), id, parker)
    }

    /// Waits for what the queue needs of the one who creates workers: `Some` demand, or `None` when `parker` was
    /// woken for something else.
    pub fn demand(&self, parker: &Parker) -> Option<Demand> {
        self.demand_by(parker, Instant::now)
    }

    fn demand_by(&self, parker: &Parker, now: impl Fn() -> Instant) -> Option<Demand> {
        if let Some(demand) = self.pending_demand(parker) {
            return Some(demand);
        }
        parker.park();
        let left = self.crew().left_of_pause(now);
        if let Some(left) = left {
            // As a worker that is called does: often there is no need of one more a moment later.
            parker.park_briefly(left);
        }
        self.pending_demand(parker)
    }

    fn pending_demand(&self, parker: &Parker) -> Option<Demand> {
        let mut crew = self.crew();
        if crew.closed {
            return Some(Demand::Over);
        }
        while crew.unheard > 0 {
            crew.unheard -= 1;
            // It may have been wanted for a moment only: while the foreman came, somebody has become free.
            if !self.none_waits(&crew) && self.call_or_hire(&mut crew) {
                crew.promised += 1;
                return Some(Demand::Worker);
            }
        }
        crew.foreman = Some(parker.unparker());
        None
    }

    /// Takes back a promise: the worker that [`Demand::Worker`] asked for cannot be created. It is asked for again while
    /// there is need of it.
    pub fn decline(&self) {
        let mut crew = self.crew();
        crew.promised = crew.promised.saturating_sub(1);
        self.attend_to_backlog(&mut crew);
    }

    /// Takes all promises back: the one who was to create the workers may have ended before it had. Those that come all the same
    /// do no harm.
    pub fn forget_promises(&self) {
        let mut crew = self.crew();
        crew.promised = 0;
        self.attend_to_backlog(&mut crew);
    }

    /// Ends the work: workers finish what they have, find nothing more and leave.
    pub fn close(&self) {
        let mut crew = self.crew();
        crew.closed = true;
        let everyone = crew.unparkers.clone();
        let foreman = crew.foreman.take();
        // Taken out under the lock: the clock may be about to lay an exchange back, where nobody would find it any more.
        let left: Vec<Box<Exchange>> = std::iter::from_fn(|| self.first(&mut crew)).collect();
        drop(crew);
        drop(left);
        everyone.iter().chain(&foreman).for_each(Unparker::unpark);
    }

    /// Exchanges that wait for a worker.
    pub fn len(&self) -> usize {
        self.waiting_with(&self.crew())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.none_waits(&self.crew())
    }

    /// Exchanges that may wait.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The most exchanges that have waited at a time since this was last asked.
    pub(crate) fn deepest_since(&self) -> usize {
        let mut crew = self.crew();
        let now = self.waiting_with(&crew);
        std::mem::replace(&mut crew.deepest, now)
    }

    /// For how long exchanges have waited although no worker is in the app and none has come for them; zero when none waits, or
    /// the app is busy, for however long. It grows when there is nothing any more that runs the app.
    pub(crate) fn unattended(&self, now: Instant) -> Duration {
        let mut crew = self.crew();
        let tally = crew.admission.tally();
        if tally.active + tally.waiting > 0 {
            return Duration::ZERO;
        }
        let Some(first) = self.first(&mut crew) else { return Duration::ZERO };
        let since = crew.looked.map_or(first.request.queued, |looked| looked.max(first.request.queued));
        crew.head = Some(first);
        now.saturating_duration_since(since)
    }

    /// The same, where it is at least the `limit`.
    pub(crate) fn unattended_for_too_long(&self, limit: Option<Duration>, now: Instant) -> Option<Duration> {
        let limit = limit?;
        Some(self.unattended(now)).filter(|silence| *silence >= limit)
    }

    /// Workers there are, and how many of them sleep.
    pub fn workers(&self) -> (usize, usize) {
        let crew = self.crew();
        (crew.admission.workers(), crew.admission.idle())
    }

    /// The workers by what they do.
    pub(crate) fn tally(&self) -> Tally {
        self.crew().admission.tally()
    }
}

impl Crew {
    /// How many waiting exchanges will be taken before the server's patience ends; `None` as long as it does not.
    fn room_before_end(&self, now: Instant) -> Option<usize> {
        self.deadline.and_then(|deadline| self.pace.taken_within(deadline.saturating_duration_since(now)))
    }

    /// This worker is to be woken.
    fn is_called(&mut self, id: Id) {
        let unparker = self.unparkers[id].clone();
        if let Some(other) = self.called.replace(unparker) {
            other.unpark();
        }
    }

    /// How long it is still likely that whoever has let go of the interpreter's lock wants it back at once.
    fn left_of_pause(&self, now: impl Fn() -> Instant) -> Option<Duration> {
        let since = self.paused.filter(|_| self.habits.pauses_briefly())?;
        BRIEF.checked_sub(now().saturating_duration_since(since)).filter(|left| !left.is_zero())
    }

    /// Workers there are, and those that are to come.
    fn expected(&self) -> usize {
        self.admission.workers() + self.promised + self.unheard
    }

    fn ask_for_one(&mut self) {
        self.unheard += 1;
        if let Some(foreman) = self.foreman.take() {
            foreman.unpark();
        }
    }
}

#[cfg(test)]
pub(crate) mod interleavings;

#[cfg(test)]
mod tests;
