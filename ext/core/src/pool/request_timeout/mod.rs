//! `request_timeout`: requests that the app has had for too long. The client is answered in the app's place, the thread that
//! interrupts workers hears of the request, and a worker that does not come back all the same is reported as stuck.
//!
//! Each request's [`TimeLimit`] decides whether the app or the time was first.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use http::{Method, Uri};
use tokio::sync::Notify;

use super::{DispatchQueue, PoolState, admission::Id};
use crate::{
    exchange::{Exchange, time_limit::TimeLimit},
    sync::{Parker, Unparker, now},
};

/// How long a worker may take to come back once its request has exceeded the limit: as long as `ensure` blocks and a rollback on
/// a busy database may take, and much shorter than the drain of the process that replaces it.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What the pool knows of the limit. The pool's lock guards it.
#[derive(Debug, Default)]
pub(super) struct RequestTimeout {
    /// How long the app may have a request; `None` is for ever.
    limit: Option<Duration>,
    /// Whether the timer runs, or is about to.
    timer_on: bool,
    /// Requests that have exceeded the limit, and that the interrupter has not heard of yet. A worker has one at most.
    overdue: VecDeque<Overdue>,
    /// Wakes the interrupter, while it waits.
    interrupter: Option<Unparker>,
}

/// A request that has exceeded the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The number of the worker that has it.
    pub worker: usize,
    /// The number that the request has had since it was taken; no other request of the pool has it.
    pub request: u64,
    /// What the client wants.
    pub method: Method,
    /// Without its query, which may have secrets.
    pub path: String,
    /// For how long the app had it when that was found.
    pub held: Duration,
}

/// What the thread that interrupts workers is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextOverdue {
    /// A request has exceeded the limit.
    Request(Overdue),
    /// None has within the time of the wait, or the parker was woken for something else.
    Nothing,
    /// There will be none ever again.
    Over,
}

/// A request in a worker's hands whose time is limited.
#[derive(Debug)]
pub(super) struct Limited {
    request: u64,
    since: Instant,
    time_limit: TimeLimit,
    method: Method,
    uri: Uri,
    stage: Stage,
}

/// How far a worker has come with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    InApp,
    /// The app was first.
    Returned,
    /// The time was first. The worker is to come back soon.
    Exceeded,
    /// It has not.
    Stuck,
}

impl Limited {
    /// The request of `exchange`, if its time is limited; a worker takes it at `since`.
    fn of(exchange: &Exchange, request: u64, since: Instant) -> Option<Self> {
        let time_limit = exchange.responder.time_limit()?.clone();
        let head = &exchange.request.head;
        let (method, uri) = (head.method.clone(), head.uri.clone());
        Some(Self { request, since, time_limit, method, uri, stage: Stage::InApp })
    }

    /// Moves on to the stage that it has reached by `now`. Returns when it is to be looked at again; never, where that is `None`.
    fn advance(&mut self, limit: Duration, now: Instant) -> Option<Instant> {
        let over = self.since + limit;
        if self.stage == Stage::InApp {
            if now < over {
                return Some(over);
            }
            self.stage = if self.time_limit.exceed() { Stage::Exceeded } else { Stage::Returned };
        }
        if self.stage != Stage::Exceeded {
            return None;
        }
        if now < over + GRACE {
            return Some(over + GRACE);
        }
        self.stage = Stage::Stuck;
        None
    }

    fn report(&self, worker: usize, now: Instant) -> Overdue {
        let held = now.saturating_duration_since(self.since);
        let (request, method, path) = (self.request, self.method.clone(), self.uri.path().to_owned());
        Overdue { worker, request, method, path, held }
    }
}

impl PoolState {
    /// A worker takes an exchange at `now`. Returns whether the timer is to be started for it.
    pub(super) fn limit_time(&mut self, id: Id, exchange: &Exchange, now: Instant) -> bool {
        if self.request_timeout.limit.is_none() {
            return false;
        }
        let limited = Limited::of(exchange, self.queue.taken(), now.max(exchange.request.queued));
        let starts = limited.is_some() && !self.request_timeout.timer_on;
        self.request_timeout.timer_on |= starts;
        *self.roster.limited(id) = limited;
        starts
    }
}

impl DispatchQueue {
    /// Lets the app have a request for `limit` at most; `None` is for ever. For the beginning, before there are requests.
    pub fn limit_requests(&self, limit: Option<Duration>) {
        self.lock().request_timeout.limit = limit;
    }

    /// How many workers do not come back from a request that has exceeded the limit. They serve nothing until they do: a process
    /// that has such workers is to be replaced.
    pub fn stuck(&self) -> usize {
        self.lock().roster.all_limited().filter(|(_, limited)| limited.stage == Stage::Stuck).count()
    }

    /// Looks after requests with a limit, and has `report` tell of those whose workers are stuck. Never ends.
    pub(super) async fn end_overdue(&self, started: &Notify, report: impl Fn(Overdue)) {
        loop {
            started.notified().await;
            loop {
                let (next, stuck) = self.exceed_limits(now());
                stuck.into_iter().for_each(&report);
                let Some(next) = next else { break };
                tokio::time::sleep_until(next.into()).await;
            }
        }
    }

    /// Answers what has exceeded the limit at `now`. Returns when to look again, and what is stuck since the last look. The timer
    /// is off when there is nothing to look at. What is taken after this look is not due before the next.
    fn exceed_limits(&self, now: Instant) -> (Option<Instant>, Vec<Overdue>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(limit) = state.request_timeout.limit else { return (None, Vec::new()) };
        let (mut next, mut stuck) = (None::<Instant>, Vec::new());
        for (worker, limited) in state.roster.all_limited() {
            let before = limited.stage;
            let look = limited.advance(limit, now);
            next = next.into_iter().chain(look).min();
            if before == Stage::InApp && matches!(limited.stage, Stage::Exceeded | Stage::Stuck) {
                self.stats.timed_out.inc();
                state.request_timeout.overdue.push_back(limited.report(worker, now));
            }
            if before != Stage::Stuck && limited.stage == Stage::Stuck {
                self.stats.stuck.inc();
                stuck.push(limited.report(worker, now));
            }
        }
        let next = next.map(|next| next.min(now + limit));
        state.request_timeout.timer_on = next.is_some();
        let has_any = !state.request_timeout.overdue.is_empty();
        let interrupter = if has_any { state.request_timeout.interrupter.take() } else { None };
        drop(guard);
        interrupter.iter().for_each(Unparker::unpark);
        (next, stuck)
    }

    /// Waits until a request has exceeded the limit, for at most `limit`. For the thread that interrupts workers.
    pub fn next_overdue(&self, parker: &Parker, limit: Option<Duration>) -> NextOverdue {
        match self.pending_overdue(parker) {
            NextOverdue::Nothing => {}
            other => return other,
        }
        match limit {
            Some(limit) => {
                parker.park_timeout(limit);
            }
            None => parker.park(),
        }
        self.pending_overdue(parker)
    }

    fn pending_overdue(&self, parker: &Parker) -> NextOverdue {
        let mut state = self.lock();
        // Those that were late before the end too.
        if let Some(overdue) = state.request_timeout.overdue.pop_front() {
            return NextOverdue::Request(overdue);
        }
        if state.is_closed() {
            return NextOverdue::Over;
        }
        state.request_timeout.interrupter = Some(parker.unparker());
        NextOverdue::Nothing
    }

    /// Whether the worker still has this request.
    pub fn has(&self, overdue: &Overdue) -> bool {
        let mut state = self.lock();
        state
            .roster
            .all_limited()
            .any(|(worker, limited)| worker == overdue.worker && limited.request == overdue.request)
    }
}

impl RequestTimeout {
    /// The interrupter, which is to be woken for the last time.
    pub(super) fn dismiss(&mut self) -> Option<Unparker> {
        self.interrupter.take()
    }
}

#[cfg(test)]
mod tests;
