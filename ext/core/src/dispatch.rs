//! The queue from connections to workers: bounded, first come first served, and full is a value.
//!
//! A worker takes an exchange only when it can run it, as [`admission`](crate::admission) decides: it looks, sleeps
//! while there is nothing for it, and is called when there is. Between the call and the taking, a worker may be ended
//! by its own program; then another is called in its place.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::Notify;

use crate::{
    admission::{Admission, Call, Id},
    exchange::Exchange,
    stats::Stats,
    wake::{Sleeper, Waker},
};

/// How long the queue may stand still while somebody computes in the app, before one more is let in.
const STALL_AFTER: Duration = Duration::from_millis(50);

/// The queue and the workers that wait for it.
#[derive(Debug)]
pub struct DispatchQueue {
    waiting: Sender<Exchange>,
    ready: Receiver<Exchange>,
    crew: Mutex<Crew>,
    /// Rings when exchanges begin to wait behind one that runs.
    backlog: Notify,
    stats: Arc<Stats>,
}

/// Who is there to work.
#[derive(Debug)]
struct Crew {
    closed: bool,
    admission: Admission,
    /// By the workers' numbers.
    wakers: Vec<Waker>,
    /// How many workers there may be.
    max_workers: usize,
    /// Workers that the foreman was asked for and that have not registered yet.
    promised: usize,
    /// Workers that are wanted, which the foreman has not heard of. Apart from the promised ones, because workers also
    /// come unasked, and what one of those takes from `promised` must be a promise.
    unheard: usize,
    /// The one who creates workers.
    foreman: Option<Waker>,
    /// Exchanges taken so far.
    taken: u64,
    /// Whether a backlog is being watched.
    watched: bool,
}

/// Why an exchange was not queued; it is given back.
#[derive(Debug)]
pub enum Rejected {
    /// As many wait as may.
    Full(Box<Exchange>),
    /// The server has ended.
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
    /// A queue of at most `capacity` exchanges, for at most `max_workers` workers; at least one of each.
    pub fn new(capacity: usize, max_workers: usize, stats: Arc<Stats>) -> Arc<Self> {
        let (waiting, ready) = bounded(capacity.max(1));
        let crew = Mutex::new(Crew {
            closed: false,
            admission: Admission::default(),
            wakers: Vec::new(),
            max_workers: max_workers.max(1),
            promised: 0,
            unheard: 0,
            foreman: None,
            taken: 0,
            watched: false,
        });
        Arc::new(Self { waiting, ready, crew, backlog: Notify::new(), stats })
    }

    fn crew(&self) -> MutexGuard<'_, Crew> {
        // No code that can panic runs under this lock.
        self.crew.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sets how many workers there may be from now on; at least one.
    pub fn limit_workers(&self, max_workers: usize) {
        self.crew().max_workers = max_workers.max(1);
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
        if let Err(refused) = self.waiting.try_send(exchange) {
            return Err(match refused {
                TrySendError::Full(exchange) => Rejected::Full(Box::new(exchange)),
                TrySendError::Disconnected(exchange) => Rejected::Closed(Box::new(exchange)),
            });
        }
        let mut crew = self.crew();
        if crew.closed {
            drop(crew);
            // Whoever closed the queue may have emptied it before this exchange came.
            return match self.ready.try_recv() {
                Ok(exchange) => Err(Rejected::Closed(Box::new(exchange))),
                Err(_) => Ok(()),
            };
        }
        self.call_someone(&mut crew);
        Ok(())
    }

    /// Sees to what waits, after something has changed about the crew.
    fn attend_to_backlog(&self, crew: &mut Crew) {
        if !crew.closed && !self.ready.is_empty() {
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
            Call::Wake(id) => crew.wakers[id].wake(),
            Call::Hire => return crew.expected() < crew.max_workers,
            Call::Nobody if crew.watched => {}
            Call::Nobody => {
                crew.watched = true;
                self.backlog.notify_one();
            }
        }
        false
    }

    /// Adds a worker to the crew, for as long as the value exists.
    pub fn register(self: &Arc<Self>) -> Worker {
        let sleeper = Sleeper::new();
        let mut crew = self.crew();
        crew.promised = crew.promised.saturating_sub(1);
        let id = crew.admission.join();
        if id < crew.wakers.len() {
            crew.wakers[id] = sleeper.waker();
        } else {
            crew.wakers.push(sleeper.waker());
        }
        drop(crew);
        Worker { queue: self.clone(), id, sleeper, in_app: Cell::new(false) }
    }

    /// Lets one more in whenever the queue has stood still for too long. For the server's runtime; never ends.
    pub(crate) async fn guard_against_stalls(&self) {
        loop {
            self.backlog.notified().await;
            let mut taken = self.crew().taken;
            loop {
                tokio::time::sleep(STALL_AFTER).await;
                let mut crew = self.crew();
                if self.ready.is_empty() {
                    crew.watched = false;
                    break;
                }
                if crew.taken == taken {
                    crew.admission.stall();
                    self.call_someone(&mut crew);
                }
                taken = crew.taken;
            }
        }
    }

    /// Waits for what the queue needs of the one who creates workers: `Some` demand, or `None` when `sleeper` was
    /// woken for something else.
    pub fn demand(&self, sleeper: &Sleeper) -> Option<Demand> {
        if let Some(demand) = self.pending_demand(sleeper) {
            return Some(demand);
        }
        sleeper.sleep();
        self.pending_demand(sleeper)
    }

    fn pending_demand(&self, sleeper: &Sleeper) -> Option<Demand> {
        let mut crew = self.crew();
        if crew.closed {
            return Some(Demand::Over);
        }
        while crew.unheard > 0 {
            crew.unheard -= 1;
            // It may have been wanted for a moment only: while the foreman came, somebody has become free.
            if !self.ready.is_empty() && self.call_or_hire(&mut crew) {
                crew.promised += 1;
                return Some(Demand::Worker);
            }
        }
        crew.foreman = Some(sleeper.waker());
        None
    }

    /// Takes back a promise: the worker that [`Demand::Worker`] asked for cannot be created. It is asked for again while
    /// there is need of it.
    pub fn decline(&self) {
        let mut crew = self.crew();
        crew.promised = crew.promised.saturating_sub(1);
        self.attend_to_backlog(&mut crew);
    }

    /// Ends the work: workers finish what they have, find nothing more and leave.
    pub fn close(&self) {
        let mut crew = self.crew();
        crew.closed = true;
        let everyone = crew.wakers.clone();
        let foreman = crew.foreman.take();
        drop(crew);
        while self.ready.try_recv().is_ok() {}
        everyone.iter().chain(&foreman).for_each(Waker::wake);
    }

    /// Exchanges that wait for a worker.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Workers there are, and how many of them sleep.
    pub fn workers(&self) -> (usize, usize) {
        let crew = self.crew();
        (crew.admission.workers(), crew.admission.idle())
    }
}

impl Crew {
    /// Workers there are, and those that are to come.
    fn expected(&self) -> usize {
        self.admission.workers() + self.promised + self.unheard
    }

    fn ask_for_one(&mut self) {
        self.unheard += 1;
        if let Some(foreman) = self.foreman.take() {
            foreman.wake();
        }
    }
}

/// A member of the crew; belongs to one thread.
#[derive(Debug)]
pub struct Worker {
    queue: Arc<DispatchQueue>,
    id: Id,
    sleeper: Sleeper,
    /// Whether it has an exchange in hand.
    in_app: Cell<bool>,
}

/// What a worker finds when it looks.
#[derive(Debug)]
pub enum Next {
    /// An exchange to run.
    Exchange(Box<Exchange>),
    /// Nothing now: [`Worker::sleep`], then look again.
    Nothing,
    /// Nothing ever again.
    Over,
}

impl Worker {
    /// Ends the exchange in hand, and takes the one that has waited longest if this worker may run. Those whose client
    /// has gone are dropped on the way.
    pub fn look(&self) -> Next {
        self.in_app.set(false);
        loop {
            let mut crew = self.queue.crew();
            crew.admission.look(self.id);
            if crew.closed {
                return Next::Over;
            }
            if !crew.admission.admits() {
                return Next::Nothing;
            }
            let Ok(exchange) = self.queue.ready.try_recv() else { return Next::Nothing };
            crew.taken += 1;
            if !exchange.responder.is_gone() {
                crew.admission.take(self.id);
                self.in_app.set(true);
                return Next::Exchange(Box::new(exchange));
            }
            drop(crew);
            self.queue.stats.client_gone();
        }
    }

    /// Sleeps until there may be something to look for, or [`waker`](Self::waker) is used.
    pub fn sleep(&self) {
        {
            let mut crew = self.queue.crew();
            if crew.closed || (!self.queue.ready.is_empty() && crew.admission.admits()) {
                return;
            }
            crew.admission.rest(self.id);
        }
        self.sleeper.sleep();
    }

    /// The exchange in hand has let go of the interpreter's lock: another may run. Called by the worker's own thread,
    /// at any time; does nothing between exchanges.
    pub fn suspended(&self) {
        if self.in_app.get() {
            let mut crew = self.queue.crew();
            crew.admission.suspend(self.id);
            self.queue.attend_to_backlog(&mut crew);
        }
    }

    /// The exchange in hand wants the interpreter's lock back. Called like [`suspended`](Self::suspended).
    pub fn resumed(&self) {
        if self.in_app.get() {
            let mut crew = self.queue.crew();
            crew.admission.resume(self.id);
            // Nobody comes while this one runs; that it does not run for too long is watched from here.
            self.queue.attend_to_backlog(&mut crew);
        }
    }

    /// Wakes this worker from any wait, for something that is not the queue's.
    pub fn waker(&self) -> Waker {
        self.sleeper.waker()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut crew = self.queue.crew();
        crew.admission.leave(self.id);
        // It may have been called for an exchange that it now leaves behind.
        self.queue.attend_to_backlog(&mut crew);
    }
}

#[cfg(test)]
mod tests;
