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
    /// Workers asked for that have not registered yet.
    promised: usize,
    /// How many of those nobody has heard of.
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
            Call::Hire => return crew.admission.workers() + crew.promised < crew.max_workers,
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
            crew.promised -= 1;
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
        if !crew.closed && !self.ready.is_empty() {
            self.call_someone(&mut crew);
        }
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
    fn ask_for_one(&mut self) {
        self.promised += 1;
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
            if !self.queue.ready.is_empty() {
                self.queue.call_someone(&mut crew);
            }
        }
    }

    /// The exchange in hand wants the interpreter's lock back. Called like [`suspended`](Self::suspended).
    pub fn resumed(&self) {
        if self.in_app.get() {
            let mut crew = self.queue.crew();
            crew.admission.resume(self.id);
            // Nobody comes while this one runs; that it does not run for too long is watched from here.
            if !self.queue.ready.is_empty() {
                self.queue.call_someone(&mut crew);
            }
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
        if !crew.closed && !self.queue.ready.is_empty() {
            self.queue.call_someone(&mut crew);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        body::RequestBody,
        request::{Peer, Request},
    };
    use std::{sync::mpsc, thread, time::Instant};

    fn exchange(path: &str) -> (Exchange, crate::exchange::Answer) {
        let (head, ()) = http::Request::get(path).body(()).unwrap().into_parts();
        Exchange::new(Request {
            head,
            body: RequestBody::Empty,
            peer: Arc::new(Peer::unix()),
            received: Instant::now(),
        })
    }

    fn queue(capacity: usize, max_workers: usize) -> Arc<DispatchQueue> {
        DispatchQueue::new(capacity, max_workers, Arc::default())
    }

    fn path(next: Next) -> String {
        match next {
            Next::Exchange(exchange) => exchange.request.head.uri.path().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hands_out_in_order_of_arrival() {
        let queue = queue(10, 1);
        let worker = queue.register();
        let answers: Vec<_> = ["/1", "/2", "/3"]
            .iter()
            .map(|path| {
                let (exchange, answer) = exchange(path);
                queue.submit(exchange).unwrap();
                answer
            })
            .collect();
        assert_eq!(queue.len(), 3);
        for expected in ["/1", "/2", "/3"] {
            assert_eq!(path(worker.look()), expected);
        }
        assert!(matches!(worker.look(), Next::Nothing));
        drop(answers);
    }

    #[test]
    fn gives_back_what_does_not_fit() {
        let queue = queue(1, 1);
        let (first, _answer) = exchange("/1");
        queue.submit(first).unwrap();
        let (second, _answer) = exchange("/2");
        match queue.submit(second) {
            Err(Rejected::Full(exchange)) => assert_eq!(exchange.request.head.uri.path(), "/2"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn drops_an_exchange_whose_client_has_gone() {
        let stats = Arc::new(Stats::default());
        let queue = DispatchQueue::new(9, 1, stats.clone());
        let worker = queue.register();
        let (gone, answer) = exchange("/gone");
        drop(answer);
        queue.submit(gone).unwrap();
        let (here, _answer) = exchange("/here");
        queue.submit(here).unwrap();
        assert_eq!(path(worker.look()), "/here");
        assert_eq!(stats.snapshot().client_gone, 1);
    }

    #[test]
    fn wakes_the_worker_that_fell_idle_last() {
        let queue = queue(9, 2);
        let (report, reports) = mpsc::channel();
        let threads: Vec<_> = (0..2)
            .map(|id| {
                let (crew, report) = (queue.clone(), report.clone());
                let thread = thread::spawn(move || {
                    let worker = crew.register();
                    loop {
                        match worker.look() {
                            Next::Exchange(exchange) => {
                                report.send((id, exchange.request.head.uri.path().to_owned())).unwrap()
                            }
                            Next::Nothing => worker.sleep(),
                            Next::Over => break,
                        }
                    }
                });
                while queue.workers() != (id + 1, id + 1) {
                    thread::yield_now();
                }
                thread
            })
            .collect();
        let (one, _answer) = exchange("/one");
        queue.submit(one).unwrap();
        assert_eq!(reports.recv().unwrap(), (1, "/one".to_owned()));
        queue.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn asks_for_a_worker_when_all_are_blocked() {
        let queue = queue(9, 2);
        let foreman = Sleeper::new();
        let mut answers = Vec::new();
        let mut arrive = || {
            let (exchange, answer) = exchange("/");
            queue.submit(exchange).unwrap();
            answers.push(answer);
        };
        arrive();
        assert_eq!(queue.demand(&foreman), Some(Demand::Worker));
        let first = queue.register();
        assert!(matches!(first.look(), Next::Exchange(_)));
        arrive();
        foreman.waker().wake();
        assert_eq!(queue.demand(&foreman), None, "the first computes, and will come for it");
        first.suspended();
        assert_eq!(queue.demand(&foreman), Some(Demand::Worker));
        let second = queue.register();
        assert!(matches!(second.look(), Next::Exchange(_)));
        arrive();
        second.suspended();
        foreman.waker().wake();
        assert_eq!(queue.demand(&foreman), None, "no third");
        queue.close();
        assert_eq!(queue.demand(&foreman), Some(Demand::Over));
    }

    #[test]
    fn a_worker_that_cannot_be_created_is_asked_for_again() {
        let queue = queue(9, 1);
        let foreman = Sleeper::new();
        let (exchange, _answer) = exchange("/");
        queue.submit(exchange).unwrap();
        for _ in 0..3 {
            assert_eq!(queue.demand(&foreman), Some(Demand::Worker));
            queue.decline();
        }
        assert_eq!(queue.demand(&foreman), Some(Demand::Worker));
        assert!(matches!(queue.register().look(), Next::Exchange(_)));
    }

    #[test]
    fn a_worker_makes_way_for_one_that_has_waited_in_the_app() {
        let queue = queue(9, 2);
        let (first, second) = (queue.register(), queue.register());
        let (one, _answer) = exchange("/1");
        let (two, _answer) = exchange("/2");
        let (three, _answer) = exchange("/3");
        queue.submit(one).unwrap();
        assert_eq!(path(first.look()), "/1");
        first.suspended();
        queue.submit(two).unwrap();
        assert_eq!(path(second.look()), "/2");
        queue.submit(three).unwrap();
        first.resumed();
        assert!(matches!(second.look(), Next::Nothing));
        assert_eq!(path(first.look()), "/3");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_computes_for_long_holds_up_nobody() {
        let queue = queue(9, 2);
        let guard = tokio::spawn({
            let queue = queue.clone();
            async move { queue.guard_against_stalls().await }
        });
        let (hog, other) = (queue.register(), queue.register());
        let (long, _answer) = exchange("/long");
        queue.submit(long).unwrap();
        assert_eq!(path(hog.look()), "/long");
        let (short, _answer) = exchange("/short");
        queue.submit(short).unwrap();
        let (next, _answer) = exchange("/next");
        queue.submit(next).unwrap();
        tokio::time::sleep(STALL_AFTER - Duration::from_millis(1)).await;
        assert!(matches!(other.look(), Next::Nothing));
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(path(other.look()), "/short");
        assert_eq!(path(other.look()), "/next", "without waiting for the hog in between");
        guard.abort();
    }

    #[test]
    fn asks_again_for_what_a_lost_worker_leaves_behind() {
        let queue = queue(9, 1);
        let foreman = Sleeper::new();
        let worker = queue.register();
        let (exchange, _answer) = exchange("/");
        queue.submit(exchange).unwrap();
        drop(worker);
        assert_eq!(queue.demand(&foreman), Some(Demand::Worker));
    }

    /// A worker woken for an exchange, then killed before it took it, must not leave the exchange behind.
    #[test]
    fn a_worker_that_ends_between_wake_up_and_taking_passes_the_call_on() {
        let queue = queue(9, 2);
        let doomed = queue.register();
        let survivor = queue.register();
        let (parked, answer_parked) = mpsc::channel();
        let waiting = queue.clone();
        let thread = thread::spawn(move || {
            parked.send(()).unwrap();
            survivor.sleep();
            path(survivor.look())
        });
        answer_parked.recv().unwrap();
        while waiting.workers().1 != 1 {
            thread::yield_now();
        }
        // The doomed worker fell idle last, so it is the one called; it ends without looking.
        waiting.crew().admission.rest(doomed.id);
        let (exchange, _answer) = exchange("/left");
        queue.submit(exchange).unwrap();
        drop(doomed);
        assert_eq!(thread.join().unwrap(), "/left");
    }

    #[test]
    fn refuses_after_the_end_and_empties_what_was_left() {
        let queue = queue(9, 1);
        let worker = queue.register();
        let (left, mut answer) = exchange("/left");
        queue.submit(left).unwrap();
        queue.close();
        assert!(matches!(worker.look(), Next::Over));
        assert!(answer.try_recv().is_err());
        let (late, _answer) = exchange("/late");
        assert!(matches!(queue.submit(late), Err(Rejected::Closed(_))));
    }
}
