//! The pool: the queue from connections to workers, and the workers that take from it.
//!
//! A worker takes an exchange only when it can run it at once, which [`admission`] decides: the worker looks for one, sleeps
//! while there is none for it, and is called when there is. Between the call and the taking, the app may end the worker; then
//! another is called in its place.
//!
//! One lock guards all that the pool knows, [`PoolState`]:
//!
//! | file | subject |
//! |---|---|
//! | [`queue`] | the exchanges that wait |
//! | [`roster`] | the registered workers; what each does is in [`admission`], and when it has the GVL in [`gvl_times`] |
//! | [`hiring`] | the workers that are to come, and the spawner that creates them |
//! | [`estimates`] | how long requests take, learned from those that were served |
//!
//! What is done with it:
//!
//! | file | subject |
//! |---|---|
//! | this one | queues an exchange, calls a worker for it, ends the pool |
//! | [`guard`] | takes the lock; a worker that was called is woken after its release |
//! | [`worker`] | looks, sleeps, answers, leaves |
//! | [`gvl_events`] | hears from Ruby when a worker releases the GVL and has it again |
//! | [`timers`] | the stall guard, and the end of `queue_timeout` |
//! | [`pause_watch`] | has no worker called for a pause of the app that is over at once |
//! | [`published`] | tells the siblings of a cluster what room there is, and how much is to be done |
//! | [`request_timeout`] | the end of `request_timeout`: requests that the app has had for too long |
//! | [`out_of_band`] | waits until nothing is to be done, for the app's work between requests |
//! | [`report`] | tells how long the queue is, what the workers do, and whether the pool is dead |
//!
//! [`time_slice`] is beside it: how long one thread may keep the GVL while others want it.

pub(crate) mod admission;
pub(crate) mod estimates;
pub(crate) mod guard;
pub(crate) mod gvl_events;
pub(crate) mod gvl_times;
pub(crate) mod hiring;
pub(crate) mod out_of_band;
pub(crate) mod pause_watch;
pub(crate) mod published;
pub(crate) mod queue;
pub(crate) mod report;
pub(crate) mod request_timeout;
pub(crate) mod roster;
pub(crate) mod time_slice;
pub(crate) mod timers;
pub(crate) mod worker;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use self::{
    admission::{Call, Id},
    estimates::Estimates,
    guard::QueueGuard,
    gvl_times::GvlTimes,
    hiring::Hiring,
    out_of_band::OutOfBand,
    pause_watch::PauseWatch,
    queue::Queue,
    request_timeout::RequestTimeout,
    roster::Roster,
};
pub use self::{
    gvl_events::GvlEvents,
    hiring::Demand,
    out_of_band::Idle,
    request_timeout::{NextOverdue, Overdue},
    worker::{Next, Woken, Worker},
};
use crate::{
    cluster::{Member, Room},
    exchange::Exchange,
    stats::{SharedStats, Shed},
    sync::{Mutex, Parker, Unparker},
};

/// The queue and the workers that take from it.
#[derive(Debug)]
pub struct DispatchQueue {
    state: Mutex<PoolState>,
    /// Starts the stall guard.
    stall_guard: Notify,
    /// Starts the timer that sends back what has waited for `queue_timeout`.
    expiry_timer: Notify,
    /// Starts the timer of `request_timeout`.
    request_timer: Notify,
    /// The requests of all connections, each from its head to the end of its response. It decides which thread sends an
    /// answer.
    open_requests: AtomicUsize,
    stats: SharedStats,
    /// Where siblings see what the pool does, in a cluster.
    member: Option<Member>,
    /// When a worker last took an exchange, in a cluster.
    last_taken: published::LastTaken,
}

/// All that the pool knows.
#[derive(Debug)]
struct PoolState {
    queue: Queue,
    roster: Roster,
    hiring: Hiring,
    estimates: Estimates,
    request_timeout: RequestTimeout,
    out_of_band: OutOfBand,
    pause_watch: PauseWatch,
    end: End,
    /// Whether the stall guard runs, or is about to.
    stall_guard_on: bool,
    /// Whether the timer of `queue_timeout` runs, or is about to.
    expiry_timer_on: bool,
    /// What siblings were told last of the room that there is.
    told_room: Room,
}

/// Whether the pool's end is near.
#[derive(Clone, Copy, Debug)]
enum End {
    NotInSight,
    /// What a worker has not taken by then is not served.
    At(Instant),
    /// Nothing is queued or taken any more.
    Reached,
}

/// Why an exchange was not queued; it is given back.
#[derive(Debug)]
pub enum Rejected {
    /// As many wait as may.
    Full(Box<Exchange>),
    /// The server has ended, or will have before a worker would come to the exchange.
    Closed(Box<Exchange>),
}

impl DispatchQueue {
    /// A queue of at most `max_queue` exchanges, each of which waits no longer than `queue_timeout`, for at most `max_threads`
    /// workers; at least one of each.
    pub fn new(max_queue: usize, queue_timeout: Option<Duration>, max_threads: usize, stats: SharedStats) -> Arc<Self> {
        Self::build(max_queue, queue_timeout, max_threads, stats, None)
    }

    /// The same for a worker of a cluster, whose siblings are told what room it has.
    pub(crate) fn of_member(
        max_queue: usize,
        queue_timeout: Option<Duration>,
        max_threads: usize,
        member: Member,
    ) -> Arc<Self> {
        Self::build(max_queue, queue_timeout, max_threads, member.stats(), Some(member))
    }

    fn build(
        max_queue: usize,
        queue_timeout: Option<Duration>,
        max_threads: usize,
        stats: SharedStats,
        member: Option<Member>,
    ) -> Arc<Self> {
        let state = Mutex::new(PoolState {
            queue: Queue::new(max_queue, queue_timeout),
            roster: Roster::new(max_threads),
            hiring: Hiring::default(),
            estimates: Estimates::default(),
            request_timeout: RequestTimeout::default(),
            out_of_band: OutOfBand::default(),
            pause_watch: PauseWatch::default(),
            end: End::NotInSight,
            stall_guard_on: false,
            expiry_timer_on: false,
            told_room: Room::None,
        });
        let [stall_guard, expiry_timer, request_timer] = [(); 3].map(|()| Notify::new());
        let open_requests = AtomicUsize::new(0);
        let last_taken = published::LastTaken::default();
        Arc::new(Self { state, stall_guard, expiry_timer, request_timer, open_requests, stats, member, last_taken })
    }

    fn lock(&self) -> QueueGuard<'_> {
        // No code that can panic runs under this lock.
        QueueGuard::new(self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()), self.member.as_ref())
    }

    // ===== exchanges =====

    /// Queues an exchange and calls a worker for it.
    ///
    /// # Errors
    ///
    /// The exchange, when the queue is full or the server has ended.
    pub fn submit(&self, exchange: Exchange) -> Result<(), Rejected> {
        let mut state = self.lock();
        if state.is_closed() || state.is_too_late(exchange.request.queued) {
            return Err(Rejected::Closed(Box::new(exchange)));
        }
        if state.queue.is_full() {
            return Err(Rejected::Full(Box::new(exchange)));
        }
        state.queue.push(exchange);
        if state.queue.has_timeout() && !state.expiry_timer_on {
            state.expiry_timer_on = true;
            self.expiry_timer.notify_one();
        }
        self.call_worker(&mut state);
        Ok(())
    }

    /// The server takes no more exchanges out of the queue after `deadline`. Those that no worker would come to before it are
    /// sent back now, and not only when they have waited for it, as are those that come from now on.
    pub(crate) fn end_by(&self, deadline: Instant, now: Instant) {
        let mut state = self.lock();
        if state.is_closed() {
            return;
        }
        state.end = End::At(deadline);
        let Some(room) = state.room_before_end(now) else { return };
        let late = state.queue.remove_after(room);
        drop(state);
        late.into_iter().for_each(|exchange| exchange.send_back(Shed::Ending));
    }

    /// Ends the pool: workers finish what they have, find nothing more and leave.
    pub fn close(&self) {
        let mut state = self.lock();
        state.end = End::Reached;
        let workers = state.roster.unparkers();
        let others = [state.hiring.dismiss(), state.request_timeout.dismiss(), state.out_of_band.dismiss()];
        // Under the lock: an exchange that came between would stay in the queue.
        let left = state.queue.remove_after(0);
        drop(state);
        drop(left);
        workers.iter().chain(others.iter().flatten()).for_each(Unparker::unpark);
    }

    /// A connection has read the head of a request.
    pub(crate) fn request_opened(&self) {
        self.open_requests.fetch_add(1, Relaxed);
    }

    /// The response to it has ended, or the connection has.
    pub(crate) fn request_closed(&self) {
        self.open_requests.fetch_sub(1, Relaxed);
    }

    /// Whether the I/O thread has no other request to see to than the one that a worker answers.
    fn has_one_request(&self) -> bool {
        self.open_requests.load(Relaxed) <= 1
    }

    // ===== workers =====

    /// Adds a worker, for as long as the value exists.
    #[inline(never)]
    pub fn register(self: &Arc<Self>) -> Worker {
        let parker = Parker::new();
        let mut state = self.lock();
        state.hiring.settle_one();
        let id = state.roster.join(parker.unparker());
        drop(state);
        Worker::new(self.clone(), id, parker)
    }

    /// Sets how many workers there may be from now on; at least one.
    pub fn set_max_threads(&self, max_threads: usize) {
        self.lock().roster.set_max_threads(max_threads);
    }

    /// Has workers beyond `min_threads` leave that have had nothing to do for `idle_thread_timeout`.
    pub fn retire_idle(&self, min_threads: usize, idle_thread_timeout: Option<Duration>) {
        self.lock().roster.retire_idle(min_threads, idle_thread_timeout);
    }

    /// Calls a worker if an exchange waits, after something has changed about the workers.
    fn call_if_waiting(&self, state: &mut PoolState) {
        if !state.is_closed() && !state.queue.is_empty() {
            self.call_worker(state);
        }
    }

    /// Calls a worker for an exchange that waits, if one may run; has one created if none is free.
    fn call_worker(&self, state: &mut PoolState) {
        if self.call_or_want(state) {
            state.hiring.ask();
        }
    }

    /// The same, but for the creating: whether one more worker is wanted, and may be.
    fn call_or_want(&self, state: &mut PoolState) -> bool {
        if state.out_of_band.is_working() || state.waits_out_pause() {
            return false;
        }
        match state.roster.admission.call() {
            Call::Wake(id) => state.roster.wake(id),
            Call::Hire => {
                let expected = state.roster.admission.workers() + state.hiring.expected();
                return expected < state.roster.max_threads();
            }
            Call::NoWorker => self.start_stall_guard(state),
        }
        false
    }

    /// Sees to it that what waits behind a request that runs does not wait for too long.
    fn start_stall_guard(&self, state: &mut PoolState) {
        if !state.stall_guard_on {
            state.stall_guard_on = true;
            self.stall_guard.notify_one();
        }
    }
}

impl PoolState {
    fn is_closed(&self) -> bool {
        matches!(self.end, End::Reached)
    }

    /// How many waiting exchanges will be taken before the pool's end; `None` where that is not in sight, or not known.
    fn room_before_end(&self, now: Instant) -> Option<usize> {
        let End::At(deadline) = self.end else { return None };
        self.estimates.taken_within(deadline.saturating_duration_since(now))
    }

    /// Whether one more exchange would not be taken before the pool's end.
    fn is_too_late(&self, now: Instant) -> bool {
        self.room_before_end(now).is_some_and(|room| self.queue.len() >= room)
    }

    /// A worker's exchange ends, if it has one. Returns whether it had.
    fn end_exchange(&mut self, id: Id, now: Instant) -> bool {
        *self.roster.limited(id) = None;
        let held = std::mem::take(self.roster.gvl_times(id)).held(now);
        let had_one = held.inspect(|held| self.estimates.held(*held)).is_some();
        if had_one {
            self.out_of_band.request_ended();
        }
        had_one
    }

    /// A worker's exchange begins, with the GVL in its hands.
    fn begin_exchange(&mut self, id: Id, now: Instant) {
        self.roster.admission.take(id);
        *self.roster.gvl_times(id) = GvlTimes::begin(now);
    }
}

#[cfg(test)]
pub(crate) mod interleavings;

#[cfg(test)]
pub(crate) mod tests;
