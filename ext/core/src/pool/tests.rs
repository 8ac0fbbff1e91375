//! The queue and its workers, with threads where they matter.

use super::{admission::Tally, estimates::MAX_STALL_AFTER, *};
use crate::{
    exchange::Answer,
    http::{
        body::RequestBody,
        request::{Peer, Request},
    },
};
use std::{sync::mpsc, thread, time::Instant};

pub(crate) fn exchange(path: &str) -> (Exchange, crate::exchange::Awaited) {
    let (head, ()) = http::Request::get(path).body(()).unwrap().into_parts();
    Exchange::new(
        Request {
            head,
            body: RequestBody::Empty,
            peer: Arc::new(Peer::unix()),
            received: Instant::now(),
            queued: Instant::now(),
        },
        None,
    )
}

fn queue(max_queue: usize, max_threads: usize) -> Arc<DispatchQueue> {
    DispatchQueue::new(max_queue, None, max_threads, SharedStats::default())
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
    let stats = SharedStats::default();
    let queue = DispatchQueue::new(9, None, 1, stats.clone());
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
fn a_worker_that_has_others_go_first_is_on_its_way_meanwhile() {
    let queue = queue(9, 2);
    let (busy, other) = (queue.register(), queue.register());
    let (first, _answer) = exchange("/1");
    queue.submit(first).unwrap();
    assert_eq!(path(busy.look()), "/1");
    let gvl = busy.gvl_events();
    other.look();
    busy.end_exchange();
    // It releases the GVL for a hog, and takes it back.
    gvl.suspended(Instant::now);
    let (second, _answer) = exchange("/2");
    queue.submit(second).unwrap();
    assert_eq!(queue.tally().active, 0, "it is in no exchange");
    assert!(!queue.lock().roster.has_called(), "no other worker is called for what it will take");
    gvl.resumed(Instant::now);
    assert_eq!(path(busy.look()), "/2");
    drop(other);
}

#[test]
fn a_worker_that_ends_while_others_go_first_leaves_nothing_behind() {
    let queue = queue(9, 2);
    let (busy, other) = (queue.register(), queue.register());
    let (first, _answer) = exchange("/1");
    queue.submit(first).unwrap();
    assert_eq!(path(busy.look()), "/1");
    busy.end_exchange();
    let (second, _answer) = exchange("/2");
    queue.submit(second).unwrap();
    drop(busy);
    assert_eq!(path(other.look()), "/2");
}

#[test]
fn wakes_the_worker_that_fell_idle_last() {
    let queue = queue(9, 2);
    let (report, reports) = mpsc::channel();
    let threads: Vec<_> = (0..2)
        .map(|id| {
            let (pool, report) = (queue.clone(), report.clone());
            let thread = thread::spawn(move || {
                let worker = pool.register();
                loop {
                    match worker.look() {
                        Next::Exchange(exchange) => {
                            report.send((id, exchange.request.head.uri.path().to_owned())).unwrap()
                        }
                        Next::Nothing => drop(worker.sleep()),
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
    let spawner = Parker::new();
    let mut answers = Vec::new();
    let mut arrive = || {
        let (exchange, answer) = exchange("/");
        queue.submit(exchange).unwrap();
        answers.push(answer);
    };
    arrive();
    assert_eq!(queue.demand(&spawner), Some(Demand::Worker));
    let first = queue.register();
    assert!(matches!(first.look(), Next::Exchange(_)));
    arrive();
    spawner.unparker().unpark();
    assert_eq!(queue.demand(&spawner), None, "the first computes, and will come for it");
    first.gvl_events().suspended(Instant::now);
    assert_eq!(queue.demand(&spawner), Some(Demand::Worker));
    let second = queue.register();
    assert!(matches!(second.look(), Next::Exchange(_)));
    arrive();
    second.gvl_events().suspended(Instant::now);
    spawner.unparker().unpark();
    assert_eq!(queue.demand(&spawner), None, "no third");
    queue.close();
    assert_eq!(queue.demand(&spawner), Some(Demand::Over));
}

#[test]
fn a_worker_that_cannot_be_created_is_asked_for_again() {
    let queue = queue(9, 1);
    let spawner = Parker::new();
    let (exchange, _answer) = exchange("/");
    queue.submit(exchange).unwrap();
    for _ in 0..3 {
        assert_eq!(queue.demand(&spawner), Some(Demand::Worker));
        queue.decline();
    }
    assert_eq!(queue.demand(&spawner), Some(Demand::Worker));
    assert!(matches!(queue.register().look(), Next::Exchange(_)));
}

/// A request came before the first workers did, and one of them registered before the spawner heard that a worker was
/// wanted: the count of requested workers fell below zero. A server under GC.stress found it.
#[test]
fn a_worker_that_registers_unasked_is_not_the_requested_one() {
    let queue = queue(10, 2);
    let spawner = Parker::new();
    let (first, _answer) = exchange("/1");
    queue.submit(first).unwrap();
    let unasked = queue.register();
    assert_eq!(path(unasked.look()), "/1");
    assert_eq!(queue.pending_demand(&spawner), None);
    unasked.gvl_events().suspended(Instant::now);
    let (second, _answer) = exchange("/2");
    queue.submit(second).unwrap();
    assert_eq!(queue.pending_demand(&spawner), Some(Demand::Worker));
    assert_eq!(queue.pending_demand(&spawner), None);
    assert_eq!(path(queue.register().look()), "/2");
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
    first.gvl_events().suspended(Instant::now);
    queue.submit(two).unwrap();
    assert_eq!(path(second.look()), "/2");
    queue.submit(three).unwrap();
    first.gvl_events().ready(Instant::now);
    assert!(matches!(second.look(), Next::Nothing));
    assert_eq!(path(first.look()), "/3");
}

#[tokio::test(start_paused = true)]
async fn one_that_computes_for_long_holds_up_no_other() {
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
    tokio::time::sleep(MAX_STALL_AFTER - Duration::from_millis(1)).await;
    assert!(matches!(other.look(), Next::Nothing));
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(path(other.look()), "/short");
    assert_eq!(path(other.look()), "/next", "without waiting for the hog in between");
    guard.abort();
}

/// Both requests came before there was a worker, so the stall guard did not run when the first was taken, computed for long, and the
/// second worker found that it might not run.
#[tokio::test(start_paused = true)]
async fn one_that_computes_for_long_holds_up_no_other_that_came_before_it_ran() {
    let queue = queue(9, 2);
    let guard = tokio::spawn({
        let queue = queue.clone();
        async move { queue.guard_against_stalls().await }
    });
    let spawner = Parker::new();
    let (long, _answer) = exchange("/long");
    let (short, _answer) = exchange("/short");
    queue.submit(long).unwrap();
    queue.submit(short).unwrap();
    assert_eq!(queue.demand(&spawner), Some(Demand::Worker));
    assert_eq!(queue.demand(&spawner), Some(Demand::Worker));
    let (hog, other) = (queue.register(), queue.register());
    assert_eq!(path(hog.look()), "/long");
    assert!(matches!(other.look(), Next::Nothing));
    tokio::time::sleep(MAX_STALL_AFTER + Duration::from_millis(1)).await;
    assert_eq!(path(other.look()), "/short");
    guard.abort();
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_for_too_long_is_sent_back_then_and_there() {
    let now = || tokio::time::Instant::now().into_std();
    let (s, stats) = (Duration::from_secs, SharedStats::default());
    let queue = DispatchQueue::new(2, Some(s(2)), 1, stats.clone());
    let clock = tokio::spawn({
        let queue = queue.clone();
        async move { queue.run_timers().await }
    });
    let worker = queue.register();
    let arrive = |path| {
        let (mut exchange, answer) = exchange(path);
        exchange.request.queued = now();
        queue.submit(exchange).map(|()| answer)
    };
    let _running = arrive("/running").unwrap();
    assert_eq!(path(worker.look_at(now())), "/running");
    let mut first = arrive("/first").unwrap();
    tokio::time::sleep(s(1)).await;
    let mut second = arrive("/second").unwrap();
    assert!(matches!(arrive("/third"), Err(Rejected::Full(_))), "the one that is watched takes room as well");
    tokio::time::sleep(Duration::from_millis(999)).await;
    assert!(first.try_recv().is_err());
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert!(matches!(first.try_recv(), Ok(Answer::SentBack(Shed::QueueTimeout))));
    assert_eq!(queue.len(), 1);
    let gone = arrive("/gone").unwrap();
    drop(gone);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(second.try_recv().is_err());
    assert_eq!(path(worker.look_at(now())), "/second", "in time, and in order");
    assert!(matches!(worker.look_at(now()), Next::Nothing));
    assert_eq!(stats.snapshot().client_gone, 1);
    let mut again = arrive("/again").unwrap();
    tokio::time::sleep(s(3)).await;
    assert!(
        matches!(again.try_recv(), Ok(Answer::SentBack(Shed::QueueTimeout))),
        "the clock goes on after the queue was empty"
    );
    clock.abort();
}

#[test]
fn a_worker_runs_nothing_that_has_waited_for_too_long() {
    let queue = DispatchQueue::new(9, Some(Duration::from_secs(2)), 1, SharedStats::default());
    let worker = queue.register();
    let (late, mut answer) = exchange("/late");
    let begun = late.request.queued;
    queue.submit(late).unwrap();
    let (mut fresh, _answer) = exchange("/fresh");
    fresh.request.queued = begun + Duration::from_secs(1);
    queue.submit(fresh).unwrap();
    assert_eq!(path(worker.look_at(begun + Duration::from_secs(2))), "/fresh");
    assert!(matches!(answer.try_recv(), Ok(Answer::SentBack(Shed::QueueTimeout))));
}

#[test]
fn tells_how_long_an_exchange_waited_for_a_worker_and_for_the_gvl() {
    let queue = queue(9, 1);
    let worker = queue.register();
    let ms = Duration::from_millis;
    let begun = Instant::now();
    worker.gvl_events().ready(|| begun);
    worker.gvl_events().resumed(|| begun + ms(900));
    let (mut one, mut answer) = exchange("/1");
    one.request.queued = begun;
    queue.submit(one).unwrap();
    let Next::Exchange(mut one) = worker.look_at(begun + ms(3)) else { panic!("there was one") };
    assert_eq!(worker.gvl_events().gvl_wait(), Duration::ZERO, "between exchanges nothing is counted");
    for (ready, resumed) in [(10, 15), (20, 27)] {
        worker.gvl_events().suspended(Instant::now);
        worker.gvl_events().ready(|| begun + ms(ready));
        worker.gvl_events().resumed(|| begun + ms(resumed));
    }
    worker.gvl_events().resumed(|| panic!("it did not wait"));
    assert_eq!(worker.gvl_events().gvl_wait(), ms(12));
    one.responder.waited_for_gvl(worker.gvl_events().gvl_wait());
    one.responder.send(crate::http::response::Response::app_failed()).unwrap();
    let Ok(Answer::Response(_, times)) = answer.try_recv() else { panic!("it was answered") };
    assert_eq!((times.queue_wait, times.gvl_wait), (ms(3), ms(12)));
    assert!(matches!(worker.look(), Next::Nothing));
    assert_eq!(worker.gvl_events().gvl_wait(), Duration::ZERO);
}

#[test]
fn a_worker_beyond_the_minimum_leaves_when_it_has_nothing_to_do() {
    let queue = queue(9, 3);
    queue.retire_idle(1, Some(Duration::from_millis(1)));
    let (first, second) = (queue.register(), queue.register());
    assert_eq!(second.sleep(), Woken::Surplus);
    assert_eq!(queue.workers(), (1, 0));
    let newcomer = queue.register();
    assert_eq!(queue.workers(), (2, 0));
    drop(second);
    assert_eq!(queue.workers(), (2, 0), "its number is another's by now");
    assert_eq!(first.sleep(), Woken::Surplus);
    assert_eq!(newcomer.sleep(), Woken::ToLook, "it is the last, and looks again");
    let (exchange, _answer) = exchange("/");
    queue.submit(exchange).unwrap();
    assert_eq!(newcomer.sleep(), Woken::ToLook);
    assert_eq!(path(newcomer.look()), "/");
}

#[test]
fn counts_the_times_that_a_worker_makes_way() {
    let stats = SharedStats::default();
    let queue = DispatchQueue::new(9, None, 2, stats.clone());
    let (first, second) = (queue.register(), queue.register());
    let mut answers = Vec::new();
    for path in ["/1", "/2", "/3"] {
        let (exchange, answer) = exchange(path);
        queue.submit(exchange).unwrap();
        answers.push(answer);
    }
    assert_eq!(path(first.look()), "/1");
    first.gvl_events().suspended(Instant::now);
    assert_eq!(path(second.look()), "/2");
    first.gvl_events().ready(Instant::now);
    assert_eq!(queue.tally(), Tally { active: 2, waiting: 0, idle: 0 });
    assert!(matches!(second.look(), Next::Nothing));
    assert!(matches!(second.look(), Next::Nothing));
    assert_eq!(stats.snapshot().yields, 1, "it comes from the app only once");
    assert_eq!((queue.reset_deepest(), queue.reset_deepest()), (3, 1));
}

#[test]
fn one_that_is_io_bound_lets_the_next_in() {
    let queue = queue(9, 2);
    let (aside, other) = (queue.register(), queue.register());
    assert!(!aside.gvl_events().mark_io_bound(), "there is nothing in its hand");
    let (long, _answer) = exchange("/long");
    queue.submit(long).unwrap();
    let (next, _answer) = exchange("/next");
    queue.submit(next).unwrap();
    assert_eq!(path(aside.look()), "/long");
    assert!(matches!(other.look(), Next::Nothing));
    assert!(aside.gvl_events().mark_io_bound());
    assert_eq!(path(other.look()), "/next");
}

#[test]
fn asks_again_for_what_a_lost_worker_leaves_behind() {
    let queue = queue(9, 1);
    let spawner = Parker::new();
    let worker = queue.register();
    let (exchange, _answer) = exchange("/");
    queue.submit(exchange).unwrap();
    drop(worker);
    assert_eq!(queue.demand(&spawner), Some(Demand::Worker));
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
    waiting.lock().roster.admission.rest(doomed.id);
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

/// Those at the end of a long queue waited for the whole budget, to be refused when it was spent.
#[test]
fn sends_back_at_once_what_cannot_be_served_before_the_end() {
    let queue = queue(100, 1);
    let worker = queue.register();
    let start = Instant::now();
    let mut answers: Vec<_> = (0..20)
        .map(|number| {
            let (exchange, answer) = exchange(&format!("/{number}"));
            queue.submit(exchange).unwrap();
            answer
        })
        .collect();
    let second = |n: u64| start + Duration::from_secs(n);
    // One per second.
    for turn in 0..5 {
        assert_eq!(path(worker.look_at(second(turn))), format!("/{turn}"));
    }
    queue.end_by(second(14), second(4));
    assert_eq!(queue.len(), 10);
    let sent_back: Vec<bool> =
        answers.iter_mut().map(|answer| matches!(answer.try_recv(), Ok(Answer::SentBack(Shed::Ending)))).collect();
    assert_eq!(sent_back, [vec![false; 15], vec![true; 5]].concat());
    assert_eq!(path(worker.look_at(second(5))), "/5", "the others keep their order");
    let (fits, _answer) = exchange("/fits");
    let (mut late, _answer) = exchange("/late");
    late.request.queued = second(5);
    queue.submit(fits).unwrap();
    assert!(matches!(queue.submit(late), Err(Rejected::Closed(_))));
}

#[test]
fn sends_nothing_back_where_it_is_not_known_how_fast_the_queue_moves() {
    let queue = queue(100, 1);
    let (waits, _answer) = exchange("/");
    queue.submit(waits).unwrap();
    queue.end_by(Instant::now(), Instant::now());
    assert_eq!(queue.len(), 1);
}

/// The thread that starts workers had ended: requests waited for ever, and all probes said ready.
#[test]
fn tells_a_dead_pool_from_a_busy_one() {
    let queue = queue(10, 2);
    let start = Instant::now();
    let later = |seconds| start + Duration::from_secs(seconds);
    let silence = |seconds| queue.unattended(later(seconds)).as_secs();
    assert_eq!(silence(100), 0, "nothing waits");
    let worker = queue.register();
    let (first, _first) = exchange("/1");
    let (second, _second) = exchange("/2");
    queue.submit(first).unwrap();
    // The exchange may have come a moment after the start.
    assert!((99..=100).contains(&silence(100)), "one waits, and a worker that was called does not come");
    assert_eq!(path(worker.look_at(later(100))), "/1");
    queue.submit(second).unwrap();
    assert_eq!(silence(10_000), 0, "a report that takes hours is no death");
    worker.gvl_events().suspended(|| later(200));
    assert_eq!(silence(10_000), 0, "nor one that waits for hours");
    worker.gvl_events().ready(|| later(300));
    worker.gvl_events().resumed(|| later(300));
    assert_eq!(silence(10_000), 0);
    assert_eq!(path(worker.look_at(later(400))), "/2");
    let (third, _third) = exchange("/3");
    queue.submit(third).unwrap();
    assert_eq!(queue.unattended_for_too_long(Some(Duration::from_secs(60)), later(10_000)), None);
}

/// A worker that is killed in the app does not look any more; the silence begins with its end, and not with the request.
#[test]
fn the_end_of_a_worker_is_a_sign_of_life() {
    let queue = queue(10, 1);
    let worker = queue.register();
    let (first, _first) = exchange("/1");
    let (second, _second) = exchange("/2");
    queue.submit(first).unwrap();
    assert_eq!(path(worker.look()), "/1");
    queue.submit(second).unwrap();
    let waited = Instant::now();
    drop(worker);
    assert!(queue.unattended(Instant::now()) <= waited.elapsed());
    assert_eq!(queue.len(), 1, "it still waits");
    assert_eq!(path(queue.register().look()), "/2");
}

/// It was killed between the demand and the start of the worker; with `max_threads` of 1 none was wanted any more.
#[test]
fn what_an_ended_spawner_was_asked_for_is_asked_for_again() {
    let queue = queue(10, 1);
    let (waiting, _answer) = exchange("/1");
    queue.submit(waiting).unwrap();
    let spawner = Parker::new();
    assert_eq!(queue.pending_demand(&spawner), Some(Demand::Worker));
    let successor = Parker::new();
    assert_eq!(queue.pending_demand(&successor), None, "it is requested");
    queue.forget_requested();
    assert_eq!(queue.pending_demand(&successor), Some(Demand::Worker));
}

#[test]
fn the_answer_to_the_only_request_waits_until_the_worker_has_nothing_else_to_do() {
    for (open_requests, kept) in [(1, true), (2, false)] {
        let queue = queue(9, 1);
        (0..open_requests).for_each(|_| queue.request_opened());
        let worker = queue.register();
        let (exchange, mut answer) = exchange("/");
        queue.submit(exchange).unwrap();
        // By this clock the app takes no time, however slow the machine is.
        let Next::Exchange(exchange) = worker.look_at(Instant::now() + Duration::from_secs(3600)) else { panic!() };
        worker.hand_in(exchange.responder.answer(crate::http::response::Response::app_failed()));
        assert_eq!(answer.try_recv().is_err(), kept, "{open_requests}");
        worker.deliver();
        assert!(!kept || matches!(answer.try_recv(), Ok(Answer::Response(..))));
        queue.request_closed();
    }
}
