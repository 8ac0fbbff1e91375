//! A worker at the queue: looks for an exchange, and sleeps while there is none for it.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use super::{DispatchQueue, gvl_events::GvlEvents, gvl_times::GvlTimes};
use crate::{
    exchange::{Answered, Exchange},
    pool::admission::Id,
    stats::Shed,
    sync::wake::{Parker, Unparker},
};

/// A member of the crew; belongs to one thread.
#[derive(Debug)]
pub struct Worker {
    queue: Arc<DispatchQueue>,
    pub(super) id: Id,
    parker: Parker,
    /// What it will deliver when it has nothing else to do.
    answered: RefCell<Option<Answered>>,
    /// Somebody who is not of the queue wants it awake.
    disturbed: Arc<AtomicBool>,
    /// It is no longer of the crew; its number may be another's.
    retired: Arc<AtomicBool>,
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
    pub(super) fn new(queue: Arc<DispatchQueue>, id: Id, parker: Parker) -> Self {
        let (answered, disturbed, retired) = (RefCell::default(), Arc::default(), Arc::default());
        Self { queue, id, parker, answered, disturbed, retired }
    }

    /// Ends the exchange in hand, and takes the one that has waited longest if this worker may run. Those whose client
    /// has gone are dropped on the way, and those that have waited for too long are sent back.
    pub fn look(&self) -> Next {
        self.look_at(Instant::now())
    }

    pub(super) fn look_at(&self, now: Instant) -> Next {
        let mut comes_from_app = false;
        loop {
            let mut crew = self.queue.crew();
            crew.looked = Some(now);
            if let Some(held) = std::mem::take(&mut crew.turns[self.id]).held(now) {
                crew.habits.computed(held);
                comes_from_app = true;
            }
            crew.admission.look(self.id);
            if crew.closed {
                return Next::Over;
            }
            if !crew.admission.admits() {
                if comes_from_app && !self.queue.none_waits(&crew) {
                    self.queue.stats.yields.inc();
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
                crew.turns[self.id] = GvlTimes::begun(now);
                if more {
                    // They may have come when nobody ran and nobody could be called.
                    self.queue.watch(&mut crew);
                }
                drop(crew);
                drop(self.answered.take());
                exchange.taken(now);
                return Next::Exchange(exchange);
            }
            drop(crew);
            if gone {
                self.queue.stats.client_gone.inc();
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

    /// Ends the exchange in hand, without a look for the next: other threads have the interpreter's lock first. This worker
    /// is on its way to the queue meanwhile, and no other is called.
    pub fn end_exchange(&self) {
        self.end_exchange_at(Instant::now());
    }

    pub(super) fn end_exchange_at(&self, now: Instant) {
        let mut crew = self.queue.crew();
        if let Some(held) = std::mem::take(&mut crew.turns[self.id]).held(now) {
            crew.habits.computed(held);
        }
        crew.admission.come(self.id);
    }

    /// Sends the answer that was kept for a moment without the interpreter's lock, which is now.
    pub fn deliver(&self) {
        if let Some(answered) = self.answered.take() {
            answered.deliver();
        }
    }

    /// Sleeps until there may be something to look for, or [`unparker`](Self::unparker) is used, or the worker has had nothing to
    /// do for so long that it is not needed.
    pub fn sleep(&self) -> Rest {
        self.sleep_by(Instant::now)
    }

    pub(super) fn sleep_by(&self, now: impl Fn() -> Instant) -> Rest {
        loop {
            let bed = self.lie_down(&now);
            if !matches!(bed, Bed::None) {
                self.deliver();
            }
            let needed = match bed {
                Bed::None => return Rest::Over,
                Bed::Nap(moment) => {
                    self.parker.park_briefly(moment);
                    true
                }
                Bed::Until(Some(limit)) => self.parker.park_timeout(limit),
                Bed::Until(None) => {
                    self.parker.park();
                    true
                }
            };
            if self.disturbed.swap(false, SeqCst) {
                return Rest::Over;
            }
            if !needed {
                return if self.retire() { Rest::Surplus } else { Rest::Over };
            }
        }
    }

    /// How it may sleep now. Called while somebody has let go of the interpreter's lock who will most likely want it back
    /// at once, it waits for that without the lock: often there is nothing for it then, and the lock stays where it is.
    fn lie_down(&self, now: impl Fn() -> Instant) -> Bed {
        let mut crew = self.queue.crew();
        if crew.closed {
            return Bed::None;
        }
        if self.queue.none_waits(&crew) || !crew.admission.admits() {
            crew.admission.rest(self.id);
            return Bed::Until(crew.idle_limit);
        }
        match crew.left_of_pause(now) {
            Some(left) => {
                crew.admission.come(self.id);
                Bed::Nap(left)
            }
            None => Bed::None,
        }
    }

    /// Leaves the crew, if it is not needed; whether it has.
    fn retire(&self) -> bool {
        let mut crew = self.queue.crew();
        let min_workers = crew.min_workers;
        let retires = !crew.closed && crew.admission.retire(self.id, min_workers);
        self.retired.store(retires, SeqCst);
        retires
    }

    /// Who is to hear what this worker's thread does with the interpreter's lock.
    pub fn watch(&self) -> GvlEvents {
        GvlEvents::new(self.queue.clone(), self.id, self.retired.clone())
    }

    /// Wakes this worker from any wait, for something that is not the queue's.
    pub fn unparker(&self) -> Unparker {
        self.parker.unparker().with_sign(self.disturbed.clone())
    }
}

/// How a worker may sleep.
enum Bed {
    /// Not at all: there may be something to look for.
    None,
    /// Until it is called, or for so long.
    Until(Option<Duration>),
    /// For a moment, called as it is.
    Nap(Duration),
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.retired.load(SeqCst) {
            return;
        }
        let mut crew = self.queue.crew();
        crew.admission.leave(self.id);
        if crew.turns[self.id].goes_on() {
            crew.looked = Some(Instant::now());
        }
        crew.turns[self.id] = GvlTimes::default();
        // It may have been called for an exchange that it now leaves behind.
        self.queue.attend_to_backlog(&mut crew);
    }
}
