//! A worker at the queue: looks for an exchange, answers it, and sleeps while there is none for it.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use super::{DispatchQueue, gvl_events::GvlEvents};
use crate::{
    exchange::{Answered, Exchange},
    pool::admission::Id,
    stats::Shed,
    sync::{Parker, Unparker},
};

/// A registered worker; belongs to one thread.
#[derive(Debug)]
pub struct Worker {
    queue: Arc<DispatchQueue>,
    pub(super) id: Id,
    parker: Parker,
    /// An answer that is sent when the worker has nothing else to do.
    answered: RefCell<Option<Answered>>,
    /// Set by an interrupt (`Thread#kill`, Ctrl-C) to end the sleep.
    interrupted: Arc<AtomicBool>,
    /// Whether it is registered no longer; another worker may have its number.
    retired: Arc<AtomicBool>,
}

/// How a worker's sleep has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There may be something to [`look`](Worker::look) for.
    ToLook,
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

/// How a worker may sleep now.
enum Sleep {
    /// Not at all: there may be something to look for.
    No,
    /// Until it is called, or has slept for so long.
    Long(Option<Duration>),
    /// For a moment, although it is called.
    Short(Duration),
}

impl Worker {
    pub(super) fn new(queue: Arc<DispatchQueue>, id: Id, parker: Parker) -> Self {
        let (answered, interrupted, retired) = (RefCell::default(), Arc::default(), Arc::default());
        Self { queue, id, parker, answered, interrupted, retired }
    }

    /// Its number, which another has when this one has left.
    pub fn number(&self) -> usize {
        self.id
    }

    // ===== exchanges =====

    /// Ends the worker's exchange, and takes the one that has waited longest if this worker may run. Those whose client has
    /// gone are dropped on the way, and those that have waited for too long are sent back.
    #[inline(never)]
    pub fn look(&self) -> Next {
        self.look_at(Instant::now())
    }

    pub(super) fn look_at(&self, now: Instant) -> Next {
        let mut comes_from_app = false;
        loop {
            let mut state = self.queue.lock();
            state.roster.alive_at(now);
            comes_from_app |= state.end_exchange(self.id, now);
            state.roster.admission.look(self.id);
            if state.is_closed() {
                return Next::Over;
            }
            if state.out_of_band.is_working() {
                return Next::Nothing;
            }
            if !state.roster.admission.admits() {
                if comes_from_app && !state.queue.is_empty() {
                    self.queue.stats.yields.inc();
                }
                return Next::Nothing;
            }
            let Some(exchange) = state.queue.take() else { return Next::Nothing };
            let more = !state.queue.is_empty();
            state.estimates.taken(now, more);
            let gone = exchange.responder.is_gone();
            let late = state.queue.expiry(&exchange).is_some_and(|expiry| expiry <= now);
            if !gone && !late {
                state.begin_exchange(self.id, now);
                self.queue.taken_at(now);
                if state.limit_time(self.id, &exchange, now) {
                    self.queue.request_timer.notify_one();
                }
                if more {
                    // They may have come when no worker ran and none could be called.
                    self.queue.start_stall_guard(&mut state);
                }
                drop(state);
                drop(self.answered.take());
                let mut exchange = Box::new(exchange);
                exchange.taken(now);
                return Next::Exchange(exchange);
            }
            drop(state);
            if gone {
                self.queue.stats.client_gone.inc();
            } else {
                exchange.send_back(Shed::QueueTimeout);
            }
        }
    }

    /// Gives the answer to the worker's exchange. It is sent at once, unless this was the only request that the server had:
    /// then the worker is about to sleep, and [delivers](Answered::deliver) it on the way. With more of them, two threads
    /// that share the work are quicker than one.
    #[inline(never)]
    pub fn hand_in(&self, answered: Answered) {
        let kept = self.queue.has_one_request() && answered.came_soon();
        drop(self.answered.replace(kept.then_some(answered)));
    }

    /// Ends the worker's exchange, without a look for the next: other threads have the GVL first. This worker is on its way to
    /// the queue meanwhile, and no other is called.
    #[inline(never)]
    pub fn end_exchange(&self) {
        self.end_exchange_at(Instant::now());
    }

    pub(super) fn end_exchange_at(&self, now: Instant) {
        let mut state = self.queue.lock();
        state.end_exchange(self.id, now);
        state.roster.admission.come(self.id);
    }

    /// Sends the answer that was kept for the next moment without the GVL, which is now.
    pub fn deliver(&self) {
        if let Some(answered) = self.answered.take() {
            answered.deliver();
        }
    }

    /// Takes the events of the GVL on this worker's thread.
    pub fn gvl_events(&self) -> GvlEvents {
        GvlEvents::new(self.queue.clone(), self.id, self.retired.clone())
    }

    // ===== sleep =====

    /// Sleeps until there may be something to look for, or [`unparker`](Self::unparker) is used, or the worker has had nothing to
    /// do for so long that it is not needed.
    pub fn sleep(&self) -> Woken {
        self.sleep_by(Instant::now)
    }

    pub(super) fn sleep_by(&self, now: impl Fn() -> Instant) -> Woken {
        loop {
            let sleep = self.prepare_sleep(&now);
            if !matches!(sleep, Sleep::No) {
                self.deliver();
            }
            let needed = match sleep {
                Sleep::No => return Woken::ToLook,
                Sleep::Short(moment) => {
                    self.parker.short_wait(moment);
                    true
                }
                Sleep::Long(Some(limit)) => self.parker.park_timeout(limit),
                Sleep::Long(None) => {
                    self.parker.park();
                    true
                }
            };
            if self.interrupted.swap(false, SeqCst) {
                return Woken::ToLook;
            }
            if !needed {
                return if self.retire() { Woken::Surplus } else { Woken::ToLook };
            }
        }
    }

    /// How the worker may sleep now. While a request has released the GVL that will most likely want it back at once, the worker
    /// sleeps on, or waits the moment out where there is no timer for that: often there is nothing for it then, and the GVL stays
    /// where it is.
    fn prepare_sleep(&self, now: impl Fn() -> Instant) -> Sleep {
        let mut state = self.queue.lock();
        if state.is_closed() {
            return Sleep::No;
        }
        if state.queue.is_empty() || state.out_of_band.is_working() || !state.roster.admission.admits() {
            state.roster.admission.rest(self.id);
            state.wake_when_idle();
            return Sleep::Long(state.roster.idle_thread_timeout());
        }
        state.roster.admission.rest(self.id);
        if state.waits_out_pause() {
            return Sleep::Long(state.roster.idle_thread_timeout());
        }
        state.roster.admission.come(self.id);
        state.estimates.left_of_pause(now).map_or(Sleep::No, Sleep::Short)
    }

    /// Wakes this worker from any wait, for something that is not the queue's.
    pub fn unparker(&self) -> Unparker {
        self.parker.unparker().with_sign(self.interrupted.clone())
    }

    // ===== the end =====

    /// Leaves the pool, if the worker is not needed. Returns whether it has.
    fn retire(&self) -> bool {
        let mut state = self.queue.lock();
        let retires = !state.is_closed() && state.roster.retire(self.id);
        self.retired.store(retires, SeqCst);
        retires
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.retired.load(SeqCst) {
            return;
        }
        let mut state = self.queue.lock();
        state.roster.leave(self.id, Instant::now);
        // It may have been called for an exchange that it now leaves behind.
        self.queue.call_if_waiting(&mut state);
    }
}
