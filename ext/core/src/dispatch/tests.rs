//! The queue and its workers, with threads where they matter.

use super::*;
use crate::{
    body::RequestBody,
    request::{Peer, Request},
};
use std::{sync::mpsc, thread, time::Instant};

fn exchange(path: &str) -> (Exchange, crate::exchange::Awaited) {
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

/// A request came before the first workers did, and one of them registered before the foreman heard that a worker was
/// wanted: the count of promised workers fell below zero. A server under GC.stress found it.
#[test]
fn a_worker_that_comes_unasked_redeems_no_promise() {
    let queue = queue(10, 2);
    let foreman = Sleeper::new();
    let (first, _answer) = exchange("/1");
    queue.submit(first).unwrap();
    let unasked = queue.register();
    assert_eq!(path(unasked.look()), "/1");
    assert_eq!(queue.pending_demand(&foreman), None);
    unasked.suspended();
    let (second, _answer) = exchange("/2");
    queue.submit(second).unwrap();
    assert_eq!(queue.pending_demand(&foreman), Some(Demand::Worker));
    assert_eq!(queue.pending_demand(&foreman), None);
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
