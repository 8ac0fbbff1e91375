//! The queue and its workers in every order in which their threads can overtake one another.
//!
//! Whether this finds anything is tried by breaking what it explores. Each of these must fail here:
//!
//! | in | broken |
//! |---|---|
//! | `Worker::prepare_sleep` | it does not look again before it rests; it rests under another hold of the lock than the one it looked under |
//! | `Worker::sleep` | it does not look whether an interrupt has woken it |
//! | `Worker::look_at` | it does not ask `admits`; it leaves a backlog behind without `start_stall_guard` |
//! | `GvlEvents::suspended`, `Worker`'s `drop`, `decline`, `forget_requested` | no `call_if_waiting`, or what was requested stays so |
//! | `submit` | it calls a worker before it queues, and releases the lock in between; it calls none |
//! | `Queue::remove_first` | the newest first |
//! | `Hiring::ask`, `pending_demand` | a demand is remembered only if the spawner waits; the spawner leaves its unparker after the lock |
//! | `close` | it wakes before it closes; forgets the spawner; empties the queue after the lock |
//! | `send_back` | it looks at the first under one hold of the lock and removes it under another; it unsets `expiry_timer_on` under another |
//! | `end_by` | it sets the end under one hold of the lock and empties the queue under another; what fits is laid back under another |
//! | `guard_against_stalls` | `stall_guard_on` stays set |
//! | `Admission` | `retire` lets a called worker go, or the last; `resume` makes a hog of a blocked worker |
//! | `PauseWatch` | a pause that has ended leaves the timer's set-up behind; `pause_lasts` calls none |
//! | `Parker` | a wake-up that counts only if the parker waits already |

pub(crate) mod harness;

use std::{sync::Arc, time::Duration};

use self::harness::{App, End, Fate, Harness, TICK};
use crate::sync::interleave::{Explorer, point, spawn, until};

const EXPLORER: Explorer = Explorer { preemptions: 2, timeouts: 0 };

/// For scenarios of few steps.
const MORE: Explorer = Explorer { preemptions: 3, timeouts: 0 };

/// For scenarios of many.
const FEWER: Explorer = Explorer { preemptions: 1, timeouts: 0 };

/// Computes for a moment.
const COMPUTES: App = |_, _, _| point("computes");

/// Waits for a moment, without the GVL, then computes.
const WAITS: App = |harness, worker, _| {
    harness.blocks(worker, || point("waits"));
    point("computes");
};

/// Computes from `first` on until `second` has been taken, so that only the guard can let that in.
fn hog(harness: &Arc<Harness>, first: &str, second: &'static str, path: &str) {
    if path == first {
        let other = harness.clone();
        harness.hogs(|| until("computes on", move || other.has_taken(second)));
    }
}

// ===== calls =====

#[test]
fn two_exchanges_are_taken_in_their_order_and_the_workers_sleep_again() {
    explore(MORE, || {
        let harness = Harness::new(9, None, 2);
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("first worker", COMPUTES);
        harness.works("second worker", COMPUTES);
        harness.at_rest(|harness| harness.has_served(&["/1", "/2"], 2));
    });
}

#[test]
fn what_two_connections_submit_is_all_taken_and_each_ones_in_its_order() {
    explore(FEWER, || {
        let harness = Harness::new(9, None, 2);
        harness.submits("one connection", &["/1", "/2"]);
        harness.submits("other connection", &["/3"]);
        harness.works("first worker", COMPUTES);
        harness.works("second worker", COMPUTES);
        harness.at_rest(|harness| {
            let taken: Vec<_> = harness.taken().into_iter().filter(|path| path != "/3").collect();
            assert_eq!(taken, ["/1", "/2"]);
            assert!(harness.has_taken("/3"));
            assert_eq!(harness.queue.workers(), (2, 2));
        });
    });
}

#[test]
fn a_worker_that_is_ended_anywhere_leaves_its_call_to_another() {
    explore(EXPLORER, || {
        let (harness, end) = (Harness::new(9, None, 2), End::default());
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("survivor", COMPUTES);
        harness.works_until("doomed worker", COMPUTES, end.clone());
        spawn("killer", move || end.ask());
        harness.at_rest(|harness| harness.has_served(&["/1", "/2"], 1));
    });
}

#[test]
fn the_last_worker_that_is_ended_leaves_its_call_to_one_that_is_hired() {
    explore(FEWER, || {
        let (harness, end) = (Harness::new(9, None, 1), End::default());
        harness.submits("submitter", &["/1"]);
        harness.works_until("doomed worker", COMPUTES, end.clone());
        harness.hires(COMPUTES, 0);
        spawn("killer", move || end.ask());
        harness.at_rest(|harness| {
            assert_eq!(harness.taken(), ["/1"]);
            harness.owes_nothing();
        });
    });
}

// ===== what happens in the app =====

#[test]
fn one_that_waits_in_the_app_lets_another_in_and_comes_back_first() {
    explore(EXPLORER, || {
        let harness = Harness::new(9, None, 2);
        harness.submits("submitter", &["/1", "/2", "/3"]);
        harness.works("first worker", WAITS);
        harness.works("second worker", WAITS);
        harness.at_rest(|harness| harness.has_served(&["/1", "/2", "/3"], 2));
    });
}

/// The first exchange waits for what the second does. They must overlap, whenever the second comes.
#[test]
fn one_that_waits_in_the_app_holds_up_no_other() {
    explore(EXPLORER, || {
        let harness = Harness::new(9, None, 2);
        let app: App = |harness, worker, path| {
            if path == "/1" {
                let other = harness.clone();
                harness.blocks(worker, || until("waits for the other", move || other.has_taken("/2")));
            }
        };
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("first worker", app);
        harness.works("second worker", app);
        harness.at_rest(|harness| harness.has_served(&["/1", "/2"], 2));
    });
}

/// Workers look for exchanges while they hold the GVL, and tell the queue when they release it.
#[test]
fn the_pools_lock_and_the_gvl_are_never_waited_for_crosswise() {
    explore(EXPLORER, || {
        let harness = Harness::new(9, None, 2);
        harness.submits("submitter", &["/1", "/2"]);
        harness.works_under_gvl("first worker");
        harness.works_under_gvl("second worker");
        harness.at_rest(|harness| harness.has_served(&["/1", "/2"], 2));
    });
}

// ===== hiring and retiring =====

/// There is no worker yet, and the first exchange waits for what the second does.
#[test]
fn as_many_are_hired_as_are_needed_and_may_be() {
    explore(FEWER, || {
        let harness = Harness::new(9, None, 2);
        let app: App = |harness, worker, path| {
            if path == "/1" {
                let other = harness.clone();
                harness.blocks(worker, || until("waits for the other", move || other.has_taken("/2")));
            }
        };
        harness.submits("submitter", &["/1", "/2"]);
        harness.hires(app, 0);
        harness.at_rest(|harness| {
            harness.has_served(&["/1", "/2"], 2);
            harness.owes_nothing();
        });
    });
}

#[test]
fn a_worker_that_registers_unasked_is_not_the_requested_one() {
    explore(FEWER, || {
        let harness = Harness::new(9, None, 2);
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("unasked worker", WAITS);
        harness.hires(WAITS, 0);
        harness.at_rest(|harness| {
            assert_eq!(harness.taken(), ["/1", "/2"]);
            harness.owes_nothing();
        });
    });
}

#[test]
fn what_cannot_be_hired_is_asked_for_again() {
    explore(FEWER, || {
        let harness = Harness::new(9, None, 2);
        harness.submits("submitter", &["/1", "/2"]);
        harness.hires(COMPUTES, 2);
        harness.at_rest(|harness| {
            assert_eq!(harness.taken(), ["/1", "/2"]);
            harness.owes_nothing();
        });
    });
}

#[test]
fn a_spawner_that_is_ended_is_succeeded_and_what_it_was_asked_for_is_not_lost() {
    explore(FEWER, || {
        let harness = Harness::new(9, None, 1);
        harness.submits("submitter", &["/1", "/2"]);
        harness.hires_in_succession(COMPUTES, 2);
        harness.at_rest(|harness| {
            assert_eq!(harness.taken(), ["/1", "/2"]);
            harness.owes_nothing();
        });
    });
}

#[test]
fn a_worker_that_retires_leaves_nothing_behind() {
    explore(Explorer { preemptions: 1, timeouts: 2 }, || {
        let harness = Harness::new(9, None, 2);
        harness.queue.retire_idle(0, Some(Duration::from_secs(1)));
        harness.submits("submitter", &["/1"]);
        harness.works("worker", COMPUTES);
        harness.hires(COMPUTES, 0);
        harness.at_rest(|harness| {
            assert_eq!(harness.taken(), ["/1"]);
            harness.owes_nothing();
        });
    });
}

#[test]
fn the_last_ones_never_retire() {
    explore(Explorer { preemptions: 1, timeouts: 2 }, || {
        let harness = Harness::new(9, None, 2);
        harness.queue.retire_idle(1, Some(Duration::from_secs(1)));
        harness.submits("submitter", &["/1"]);
        harness.works("first worker", COMPUTES);
        harness.works("second worker", COMPUTES);
        harness.at_rest(|harness| {
            assert_eq!(harness.taken(), ["/1"]);
            assert!(harness.queue.workers().0 >= 1);
        });
    });
}

// ===== pauses =====

/// What prepares a harness for an app whose pauses are brief.
type Prepare = fn(&Arc<Harness>);

/// The worker that is called waits a pause out itself.
const SHORT_WAITS: Prepare = |harness| harness.pauses_briefly();

/// No worker is called while a pause may be over at once; the timer may go off late, early and for nothing.
const WATCHED: Prepare = |harness| harness.watches_pauses();

/// Whatever a worker that is called finds, each exchange is served: by two workers, or by one and one that is hired.
fn nothing_is_left_behind(explorer: Explorer, prepare: Prepare) {
    explore(explorer, move || {
        let harness = Harness::new(9, None, 2);
        prepare(&harness);
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("first worker", WAITS);
        harness.works("second worker", WAITS);
        harness.at_rest(|harness| harness.has_served(&["/1", "/2"], 2));
    });
    explore(FEWER, move || {
        let harness = Harness::new(9, None, 2);
        prepare(&harness);
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("worker", WAITS);
        harness.hires(WAITS, 0);
        harness.at_rest(|harness| {
            assert_eq!(harness.taken(), ["/1", "/2"]);
            harness.owes_nothing();
        });
    });
}

#[test]
fn nothing_is_left_behind_by_workers_in_a_short_wait() {
    nothing_is_left_behind(EXPLORER, SHORT_WAITS);
}

#[test]
fn nothing_is_left_behind_while_the_timer_watches_a_pause() {
    nothing_is_left_behind(FEWER, WATCHED);
}

/// The pause goes on until the next exchange was taken, so that only the timer can let that in.
#[test]
fn a_pause_that_lasts_lets_the_next_in() {
    let app: App = |harness, worker, path| {
        if path == "/1" {
            let other = harness.clone();
            harness.blocks(worker, || until("waits for long", move || other.has_taken("/2")));
        }
    };
    explore(EXPLORER, move || {
        let harness = Harness::new(9, None, 2);
        harness.watches_pauses();
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("first worker", app);
        harness.works("second worker", app);
        harness.at_rest(|harness| harness.has_served(&["/1", "/2"], 2));
    });
}

#[test]
fn the_timer_may_end_while_it_watches_a_pause() {
    explore(FEWER, || {
        let harness = Harness::new(9, None, 2);
        harness.watches_pauses();
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("first worker", WAITS);
        harness.works("second worker", WAITS);
        let queue = harness.queue.clone();
        spawn("end of the runtime", move || queue.set_alarm(None));
        harness.at_rest(|harness| harness.has_served(&["/1", "/2"], 2));
    });
}

#[test]
fn a_worker_in_a_short_wait_can_be_ended_and_the_server_be_closed() {
    explore(FEWER, || {
        let (harness, end) = (Harness::new(9, None, 2), End::default());
        harness.pauses_briefly();
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("worker", WAITS);
        harness.works_until("ended worker", WAITS, end.clone());
        spawn("terminator", move || end.ask());
        harness.at_rest(|harness| {
            assert_eq!(harness.taken(), ["/1", "/2"]);
            assert_eq!(harness.queue.workers(), (1, 1));
        });
    });
    explore(FEWER, || {
        let harness = Harness::new(9, None, 2);
        harness.pauses_briefly();
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("first worker", WAITS);
        harness.works("second worker", WAITS);
        harness.closes();
        harness.at_rest(Harness::has_ended);
    });
}

// ===== time =====

/// Two exchanges came before there was a worker, and two were hired: the stall guard did not run when one of them
/// computed without an end, and the other found that it might not run.
#[test]
fn nothing_waits_longer_than_the_stall_guard_allows() {
    let app: App = |harness, _, path| hog(harness, "/1", "/2", path);
    explore(EXPLORER, move || {
        let harness = Harness::new(9, None, 2);
        harness.keeps_time();
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("first worker", app);
        harness.works("second worker", app);
        harness.at_rest_after(2, |harness| harness.has_served(&["/1", "/2"], 2));
    });
    explore(FEWER, move || {
        let harness = Harness::new(9, None, 2);
        harness.keeps_time();
        harness.submits("submitter", &["/1", "/2"]);
        harness.hires(app, 0);
        harness.at_rest_after(2, |harness| harness.has_served(&["/1", "/2"], 2));
    });
}

/// Two are marked as I/O-bound in the app when two more come, so that no worker can be called or hired. Then one of the new ones is
/// taken and computes without an end, and the stall guard did not run.
#[test]
fn nothing_waits_longer_than_that_behind_one_that_came_when_all_were_busy() {
    explore(FEWER, || {
        let app: App = |harness, worker, path| {
            if ["/1", "/2"].contains(&path) {
                let other = harness.clone();
                worker.gvl_events().mark_io_bound();
                harness.hogs(|| until("waits for those behind it", move || other.has_submitted("/4")));
            }
            hog(harness, "/3", "/4", path);
        };
        let harness = Harness::new(9, None, 2);
        harness.keeps_time();
        harness.submits("submitter", &["/1", "/2", "/3", "/4"]);
        harness.works("first worker", app);
        harness.works("second worker", app);
        harness.at_rest_after(2, |harness| harness.has_served(&["/1", "/2", "/3", "/4"], 2));
    });
}

/// When the queue has been empty for a while, the guard rests until there is something to watch again.
#[test]
fn the_stall_guard_comes_back() {
    explore(FEWER, || {
        let app: App = |harness, _, path| {
            hog(harness, "/1", "/2", path);
            hog(harness, "/3", "/4", path);
        };
        let harness = Harness::new(9, None, 2);
        harness.keeps_time();
        harness.submits("submitter", &["/1", "/2"]);
        harness.works("first worker", app);
        harness.works("second worker", app);
        harness.at_rest_after(4, |harness| {
            harness.submit("/3");
            harness.submit("/4");
            harness.pass_ticks(2);
            harness.has_served(&["/1", "/2", "/3", "/4"], 2);
        });
    });
}

/// A timer may be about to find the queue empty while an exchange comes.
#[test]
fn what_has_waited_for_as_long_as_it_may_is_sent_back_or_was_taken() {
    explore(EXPLORER, || {
        let harness = Harness::new(9, Some(TICK / 2), 1);
        harness.keeps_time();
        harness.submits("submitter", &["/1", "/2"]);
        let clock = harness.clock.clone();
        spawn("time", move || clock.advance());
        let late = harness.clone();
        spawn("worker", move || late.takes(1));
        harness.at_rest_after(1, |harness| {
            let fates = harness.fates();
            assert!(fates.values().all(|fate| [Fate::Served, Fate::SentBack].contains(fate)), "{fates:?}");
            assert!(harness.taken().is_sorted());
            assert_eq!(harness.queue.len(), 0);
        });
    });
}

/// A worker may take the first just when the timer has found that its time is over; then the next one has time left.
#[test]
fn what_has_time_left_is_not_sent_back() {
    explore(EXPLORER, || {
        let harness = Harness::new(9, Some(TICK * 3 / 2), 1);
        harness.keeps_time();
        harness.submit("/1");
        harness.clock.set_up(1);
        harness.submit("/2");
        let clock = harness.clock.clone();
        spawn("time", move || clock.advance());
        let worker = harness.clone();
        spawn("worker", move || worker.takes(1));
        harness.at_rest(|harness| {
            let fates = harness.fates();
            assert!([Fate::Served, Fate::SentBack].contains(&fates["/1"]), "{fates:?}");
            assert!([Fate::Served, Fate::Waits].contains(&fates["/2"]), "{fates:?}");
        });
    });
}

// ===== the end =====

/// With workers and a spawner, which must hear of it.
#[test]
fn a_close_leaves_no_thread_asleep() {
    explore(FEWER, || {
        let harness = Harness::new(9, None, 2);
        harness.submits("submitter", &["/1"]);
        harness.works("worker", COMPUTES);
        harness.hires(COMPUTES, 0);
        harness.closes();
        harness.at_rest(Harness::has_ended);
    });
}

/// With the timer of `queue_timeout`, and the deadline of the drain. The server closed while the timer looked at an exchange,
/// and the next was left in the queue: its client heard nothing.
#[test]
fn a_close_leaves_nothing_in_the_queue() {
    explore(MORE, || {
        let harness = Harness::new(9, Some(TICK / 2), 2);
        harness.keeps_time();
        harness.submits("submitter", &["/1", "/2"]);
        harness.closes();
        harness.at_rest(Harness::has_ended);
    });
    explore(MORE, || {
        let harness = Harness::new(9, None, 1);
        harness.serves_at_a_rate(&["/0", "/1", "/2", "/3"], 2);
        harness.ends_by(TICK * 5 / 2);
        harness.works("worker", COMPUTES);
        harness.closes();
        harness.at_rest(Harness::has_ended);
    });
}

/// One exchange is taken per tick, and there is time for two more.
#[test]
fn what_cannot_be_served_before_the_end_is_sent_back_whenever_it_comes() {
    explore(EXPLORER, || {
        let harness = Harness::new(9, Some(TICK * 100), 1);
        harness.keeps_time();
        harness.serves_at_a_rate(&["/0", "/1", "/2", "/3"], 2);
        harness.submits("submitter", &["/4"]);
        harness.ends_by(TICK * 3 / 2);
        harness.works("worker", COMPUTES);
        harness.at_rest(|harness| {
            let fates = harness.fates();
            let ended = [Fate::Served, Fate::SentBack, Fate::Refused];
            assert!(fates.values().all(|fate| ended.contains(fate)), "{fates:?}");
            let taken = harness.taken();
            assert!(taken.is_sorted() && taken.len() >= 3, "{taken:?}");
            assert_eq!(harness.queue.len(), 0);
        });
    });
}

fn explore(explorer: Explorer, scenario: impl Fn()) {
    let runs = explorer.explore(scenario);
    // Seen with --show-output.
    println!("{runs} runs");
    assert!(runs > 1, "nothing could overtake anything");
}
