//! A worker at the queue: looks for an exchange, sleeps while there is none for it, and tells what its thread does with the
//! interpreter's lock meanwhile.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::{Duration, Instant},
};

use super::DispatchQueue;
use crate::{
    admission::Id,
    exchange::{Answered, Exchange},
    stats::Shed,
    wake::{Sleeper, Waker},
};

/// A member of the crew; belongs to one thread.
#[derive(Debug)]
pub struct Worker {
    queue: Arc<DispatchQueue>,
    pub(super) id: Id,
    sleeper: Sleeper,
    /// Whether it has an exchange in hand.
    in_app: Cell<bool>,
    /// Since when it wants the interpreter's lock back, while it waits for it.
    wanting: Cell<Option<Instant>>,
    /// How long it has waited for that, in all, with the exchange in hand.
    lock_wait: Cell<Duration>,
    /// What it will deliver when it has nothing else to do.
    answered: RefCell<Option<Answered>>,
    /// It is no longer of the crew; its number may be another's.
    retired: Cell<bool>,
}

/// How a worker's sleep has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// There may be something to [`look`](Worker::look) for.
    Over,
    /// The worker is not needed and no longer counts: it is to be dropped.
    Surplus,
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
    pub(super) fn new(queue: Arc<DispatchQueue>, id: Id, sleeper: Sleeper) -> Self {
        let (wanting, lock_wait, answered) = (Cell::new(None), Cell::new(Duration::ZERO), RefCell::default());
        Self { queue, id, sleeper, in_app: Cell::new(false), wanting, lock_wait, answered, retired: Cell::new(false) }
    }

    /// Ends the exchange in hand, and takes the one that has waited longest if this worker may run. Those whose client
    /// has gone are dropped on the way, and those that have waited for too long are sent back.
    pub fn look(&self) -> Next {
        self.look_at(Instant::now())
    }

    pub(super) fn look_at(&self, now: Instant) -> Next {
        let comes_from_app = self.in_app.replace(false);
        loop {
            let mut crew = self.queue.crew();
            crew.admission.look(self.id);
            if crew.closed {
                return Next::Over;
            }
            if !crew.admission.admits() {
                if comes_from_app && !self.queue.none_waits(&crew) {
                    self.queue.stats.yielded();
                }
                return Next::Nothing;
            }
            let Some(mut exchange) = self.queue.first(&mut crew) else { return Next::Nothing };
            crew.taken += 1;
            let more = !self.queue.none_waits(&crew);
            crew.pace.took(now, more);
            let gone = exchange.responder.is_gone();
            let late = self.queue.limit(&exchange).is_some_and(|limit| limit <= now);
            if !gone && !late {
                crew.admission.take(self.id);
                if more {
                    // They may have come when nobody ran and nobody could be called.
                    self.queue.watch(&mut crew);
                }
                drop(crew);
                drop(self.answered.take());
                exchange.taken(now);
                self.lock_wait.set(Duration::ZERO);
                self.wanting.set(None);
                self.in_app.set(true);
                return Next::Exchange(exchange);
            }
            drop(crew);
            if gone {
                self.queue.stats.client_gone();
            } else {
                exchange.send_back(Shed::QueueTimeout);
            }
        }
    }

    /// Gives the answer to the exchange in hand. It is sent at once, unless this was the only request that the server had:
    /// then the worker is about to sleep, and [delivers](Answered::deliver) it on the way. With more of them, two threads
    /// that share the work are quicker than one.
    pub fn hand_in(&self, answered: Answered) {
        let kept = self.queue.stats.in_flight() <= 1 && answered.came_soon();
        drop(self.answered.replace(kept.then_some(answered)));
    }

    /// Sleeps until there may be something to look for, or [`waker`](Self::waker) is used, or the worker has had nothing to
    /// do for so long that it is not needed.
    pub fn sleep(&self) -> Rest {
        let limit = {
            let mut crew = self.queue.crew();
            if crew.closed || (!self.queue.none_waits(&crew) && crew.admission.admits()) {
                return Rest::Over;
            }
            crew.admission.rest(self.id);
            crew.idle_limit
        };
        if let Some(answered) = self.answered.take() {
            answered.deliver();
        }
        let Some(limit) = limit else {
            self.sleeper.sleep();
            return Rest::Over;
        };
        if self.sleeper.sleep_for(limit) {
            return Rest::Over;
        }
        let mut crew = self.queue.crew();
        let min_workers = crew.min_workers;
        if crew.closed || !crew.admission.retire(self.id, min_workers) {
            return Rest::Over;
        }
        self.retired.set(true);
        Rest::Surplus
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

    /// The exchange in hand wants the interpreter's lock back, since `now`. Called like [`suspended`](Self::suspended).
    pub fn ready(&self, now: impl FnOnce() -> Instant) {
        if self.in_app.get() {
            self.wanting.set(Some(now()));
            let mut crew = self.queue.crew();
            crew.admission.resume(self.id);
            // Nobody comes while this one runs; that it does not run for too long is watched from here.
            self.queue.attend_to_backlog(&mut crew);
        }
    }

    /// The exchange in hand has the interpreter's lock again, at `now`. Called like [`suspended`](Self::suspended).
    pub fn resumed(&self, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.wanting.take() {
            self.lock_wait.set(self.lock_wait.get() + now().saturating_duration_since(since));
        }
    }

    /// How long the exchange in hand has waited for the interpreter's lock so far.
    pub fn lock_wait(&self) -> Duration {
        if self.in_app.get() { self.lock_wait.get() } else { Duration::ZERO }
    }

    /// The exchange in hand will mostly wait from now on: others need not wait for it. Called like
    /// [`suspended`](Self::suspended). Whether there is one.
    pub fn step_aside(&self) -> bool {
        if self.in_app.get() {
            let mut crew = self.queue.crew();
            crew.admission.step_aside(self.id);
            self.queue.attend_to_backlog(&mut crew);
        }
        self.in_app.get()
    }

    /// Wakes this worker from any wait, for something that is not the queue's.
    pub fn waker(&self) -> Waker {
        self.sleeper.waker()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.retired.get() {
            return;
        }
        let mut crew = self.queue.crew();
        crew.admission.leave(self.id);
        // It may have been called for an exchange that it now leaves behind.
        self.queue.attend_to_backlog(&mut crew);
    }
}
