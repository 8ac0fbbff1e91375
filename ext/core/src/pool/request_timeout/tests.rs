//! The time is an argument, or stands still unless a test moves it.

use super::*;
use crate::{
    exchange::{Answer, Awaited, time_limit::TimeLimits},
    pool::{Next, Worker, tests::exchange},
    stats::SharedStats,
};
use std::{
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

const LIMIT: Duration = Duration::from_secs(3);
const MOMENT: Duration = Duration::from_millis(1);

/// A pool with one worker and one connection. The test plays the app, the connection and the interrupter.
struct Pool {
    queue: Arc<DispatchQueue>,
    worker: Worker,
    connection: Arc<TimeLimits>,
    stats: SharedStats,
    parker: Parker,
}

impl Pool {
    fn new() -> Self {
        let stats = SharedStats::default();
        let queue = DispatchQueue::new(9, None, 1, stats.clone());
        queue.limit_requests(Some(LIMIT));
        let worker = queue.register();
        Self { queue, worker, connection: Arc::default(), stats, parker: Parker::new() }
    }

    /// The worker takes a request at `now`.
    fn take(&self, now: Instant) -> (Box<Exchange>, Awaited) {
        let (mut exchange, answer) = exchange("/slow?secret");
        exchange.request.queued = now;
        self.queue.submit(exchange.limited(Some(self.connection.begin()))).unwrap();
        match self.worker.look_at(now) {
            Next::Exchange(exchange) => (exchange, answer),
            other => panic!("{other:?}"),
        }
    }

    fn answers_itself(&self) -> bool {
        self.connection.poll_exceeded(&Context::from_waker(Waker::noop()))
    }

    fn overdue(&self) -> NextOverdue {
        self.queue.pending_overdue(&self.parker)
    }

    fn counted(&self) -> (u64, u64) {
        let counted = self.stats.snapshot();
        (counted.timed_out, counted.stuck)
    }
}

#[test]
fn a_request_may_take_as_long_as_the_limit() {
    let (pool, start) = (Pool::new(), now());
    let (exchange, _answer) = pool.take(start);
    assert_eq!(pool.queue.exceed_limits(start + LIMIT - MOMENT).0, Some(start + LIMIT));
    assert!(exchange.responder.time_limit().unwrap().returned());
    assert_eq!(pool.queue.exceed_limits(start + LIMIT), (None, vec![]));
    assert_eq!((pool.answers_itself(), pool.overdue(), pool.counted()), (false, NextOverdue::Nothing, (0, 0)));
}

#[test]
fn beyond_that_the_client_is_answered_and_the_interrupter_told_once() {
    let (pool, start) = (Pool::new(), now());
    let (exchange, _answer) = pool.take(start);
    assert_eq!(pool.queue.exceed_limits(start + LIMIT).0, Some(start + LIMIT + LIMIT));
    assert!(pool.answers_itself());
    assert!(!exchange.responder.time_limit().unwrap().returned(), "it is too late");
    let NextOverdue::Request(overdue) = pool.overdue() else { panic!("not told") };
    assert!(pool.queue.has(&overdue));
    assert_eq!((pool.overdue(), pool.counted()), (NextOverdue::Nothing, (1, 0)));
    pool.worker.look_at(start + LIMIT + MOMENT);
    assert!(!pool.queue.has(&overdue), "the worker has come back");
    assert_eq!(pool.queue.exceed_limits(start + LIMIT + GRACE), (None, vec![]));
}

#[test]
fn the_next_request_of_the_worker_has_nothing_to_do_with_it() {
    let (pool, start) = (Pool::new(), now());
    let _late = pool.take(start);
    pool.queue.exceed_limits(start + LIMIT);
    let NextOverdue::Request(overdue) = pool.overdue() else { panic!("not told") };
    let (next, _answer) = pool.take(start + LIMIT + MOMENT);
    assert!(!pool.queue.has(&overdue));
    assert!(!pool.answers_itself());
    let own = start + LIMIT + MOMENT + LIMIT;
    assert_eq!(pool.queue.exceed_limits(own - MOMENT).0, Some(own));
    assert!(next.responder.time_limit().unwrap().returned());
}

#[test]
fn a_worker_that_does_not_come_back_is_stuck_until_it_does() {
    let (pool, start) = (Pool::new(), now());
    let _slow = pool.take(start);
    pool.queue.exceed_limits(start + LIMIT);
    assert_eq!(pool.queue.stuck(), 0);
    let (next, stuck) = pool.queue.exceed_limits(start + LIMIT + GRACE);
    assert_eq!((next, pool.queue.stuck(), pool.counted()), (None, 1, (1, 1)));
    let [stuck] = &*stuck else { panic!("{stuck:?}") };
    assert_eq!((&stuck.method, &*stuck.path, stuck.held), (&Method::GET, "/slow", LIMIT + GRACE));
    assert_eq!(pool.queue.exceed_limits(start + LIMIT + GRACE + MOMENT), (None, vec![]), "and that is said once");
    pool.worker.look_at(start + LIMIT + GRACE + GRACE);
    assert_eq!(pool.queue.stuck(), 0);
}

#[test]
fn a_worker_that_ends_is_not_waited_for() {
    let (pool, start) = (Pool::new(), now());
    let _slow = pool.take(start);
    let Pool { queue, worker, .. } = pool;
    drop(worker);
    assert_eq!(queue.exceed_limits(start + LIMIT), (None, vec![]));
}

#[test]
fn the_interrupter_hears_of_the_end() {
    let (pool, start) = (Pool::new(), now());
    let _slow = pool.take(start);
    pool.queue.exceed_limits(start + LIMIT);
    pool.queue.close();
    assert!(matches!(pool.queue.next_overdue(&Parker::new(), None), NextOverdue::Request(_)), "it was late before");
    assert_eq!(pool.queue.next_overdue(&Parker::new(), None), NextOverdue::Over);
}

#[tokio::test(start_paused = true)]
async fn the_timer_runs_while_there_is_something_to_wait_for() {
    let pool = Pool::new();
    let reported = Arc::new(Mutex::new(Vec::new()));
    let (queue, reports) = (pool.queue.clone(), reported.clone());
    let timers = tokio::spawn(async move { queue.run_timers(|stuck| reports.lock().unwrap().push(stuck.path)).await });
    for round in 1..=2 {
        let start = now();
        let _slow = pool.take(start);
        tokio::time::sleep(LIMIT - MOMENT).await;
        assert!(!pool.answers_itself());
        tokio::time::sleep(MOMENT + MOMENT).await;
        assert!(pool.answers_itself());
        tokio::time::sleep(GRACE).await;
        assert_eq!(reported.lock().unwrap().len(), round);
        assert!(!pool.queue.lock().request_timeout.timer_on);
    }
    assert!(matches!(pool.worker.look_at(now()), Next::Nothing));
    timers.abort();
}

/// While a worker was waited for, the timer slept through the time of the next request.
#[tokio::test(start_paused = true)]
async fn the_time_of_a_request_ends_while_another_is_waited_for() {
    let pool = Pool::new();
    let queue = pool.queue.clone();
    let timers = tokio::spawn(async move { queue.run_timers(drop).await });
    let _stuck = pool.take(now());
    tokio::time::sleep(LIMIT + MOMENT).await;
    assert_eq!(pool.counted(), (1, 0));
    let other = pool.queue.register();
    pool.worker.gvl_events().suspended(now);
    let connection = Arc::<TimeLimits>::default();
    let (mut exchange, _answer) = exchange("/next");
    exchange.request.queued = now();
    pool.queue.submit(exchange.limited(Some(connection.begin()))).unwrap();
    assert!(matches!(other.look_at(now()), Next::Exchange(_)));
    tokio::time::sleep(LIMIT + MOMENT).await;
    assert!(connection.poll_exceeded(&Context::from_waker(Waker::noop())));
    assert_eq!(pool.counted(), (2, 0));
    timers.abort();
}

#[test]
fn nothing_is_kept_of_requests_without_a_limit() {
    let pool = Pool::new();
    pool.queue.limit_requests(None);
    let (exchange, mut answer) = pool.take(now());
    assert!(pool.queue.lock().roster.all_limited().next().is_none());
    drop(exchange.responder.answer(crate::http::response::Response::app_failed()));
    assert!(matches!(answer.try_recv(), Ok(Answer::Response(..))));
}
