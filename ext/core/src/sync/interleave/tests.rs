//! Whether the exploration finds what it is for.

use super::{primitives::Mutex, *};
use crate::sync::Parker;
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

const ALL: Explorer = Explorer { preemptions: usize::MAX, timeouts: 0 };

/// What an exploration says that fails.
fn failure(explorer: Explorer, scenario: impl Fn()) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| explorer.explore(scenario))) else { panic!("nothing was found") };
    panic.downcast_ref::<String>().cloned().unwrap()
}

#[test]
fn runs_two_threads_in_each_of_their_orders() {
    for (preemptions, expected) in [(0, 2), (1, 4), (2, 6), (usize::MAX, 6)] {
        let seen = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let runs = Explorer { preemptions, timeouts: 0 }.explore(|| {
            let story = Arc::new(std::sync::Mutex::new(String::new()));
            for (name, steps) in [("a", ["a1", "a2"]), ("b", ["b1", "b2"])] {
                let story = story.clone();
                spawn(name, move || {
                    for step in steps {
                        point("takes a step");
                        story.lock().unwrap().push_str(step);
                    }
                });
            }
            let seen = seen.clone();
            spawn_when_quiet("end", move || {
                seen.lock().unwrap().insert(story.lock().unwrap().clone());
            });
        });
        assert_eq!(seen.lock().unwrap().len(), expected, "{preemptions}");
        assert!(runs >= expected);
    }
}

#[test]
fn finds_an_update_that_is_lost() {
    let failure = failure(Explorer { preemptions: 1, timeouts: 0 }, || {
        let count = Arc::new(Mutex::new(0));
        for name in ["one", "other"] {
            let count = count.clone();
            spawn(name, move || {
                let seen = *count.lock().unwrap();
                *count.lock().unwrap() = seen + 1;
            });
        }
        spawn_when_quiet("end", move || {
            assert_eq!(*count.lock().unwrap(), 2);
        });
    });
    assert!(failure.contains("end panicked"), "{failure}");
}

#[test]
fn finds_a_sleep_without_a_last_look() {
    let sleep_after_looking = |looks_again: bool| {
        move || {
            let (mailbox, parker) = (Arc::new(Mutex::new((false, None))), Parker::new());
            let its_mailbox = mailbox.clone();
            spawn("sender", move || {
                let mut mailbox = its_mailbox.lock().unwrap();
                mailbox.0 = true;
                let unparker: Option<crate::sync::Unparker> = mailbox.1.take();
                drop(mailbox);
                unparker.iter().for_each(crate::sync::Unparker::unpark);
            });
            spawn("receiver", move || {
                if mailbox.lock().unwrap().0 {
                    return;
                }
                let mut mailbox = mailbox.lock().unwrap();
                if !(looks_again && mailbox.0) {
                    mailbox.1 = Some(parker.unparker());
                    drop(mailbox);
                    parker.park();
                }
            });
        }
    };
    assert!(ALL.explore(sleep_after_looking(true)) > 1);
    let failure = failure(ALL, sleep_after_looking(false));
    assert!(failure.contains("all wait for ever"), "{failure}");
    assert!(failure.contains("receiver is left: parks, for an event"), "{failure}");
}

#[test]
fn finds_two_locks_taken_crosswise() {
    let failure = failure(ALL, || {
        let locks = [Arc::new(Mutex::new(())), Arc::new(Mutex::new(()))];
        for (name, first, second) in [("one", 0, 1), ("other", 1, 0)] {
            let (first, second) = (locks[first].clone(), locks[second].clone());
            spawn(name, move || {
                let _first = first.lock();
                let _second = second.lock();
            });
        }
    });
    assert!(failure.contains("all wait for ever"), "{failure}");
}

#[test]
fn a_limit_may_be_over_before_the_wake_up_and_after_it() {
    let seen = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let outcomes = seen.clone();
    Explorer { preemptions: 1, timeouts: 1 }.explore(move || {
        let (parker, outcomes) = (Parker::new(), outcomes.clone());
        let unparker = parker.unparker();
        spawn("parker", move || {
            let woken = parker.park_timeout(Duration::MAX);
            outcomes.lock().unwrap().insert(woken);
        });
        spawn("waker", move || unparker.unpark());
    });
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from([false, true]));
}

#[test]
fn the_runtimes_clock_moves_only_when_time_passes() {
    let seen = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let outcomes = seen.clone();
    Explorer { preemptions: 2, timeouts: 0 }.explore(move || {
        let (clock, outcomes, hour) = (Clock::default(), outcomes.clone(), Duration::from_secs(3600));
        let rung = Arc::new(AtomicBool::new(false));
        let (running, alarm) = (clock.clone(), rung.clone());
        spawn("runtime", move || {
            let task = async {
                let begun = running.ticks();
                tokio::time::sleep(hour * 3 / 2).await;
                alarm.store(true, SeqCst);
                outcomes.lock().unwrap().insert(running.ticks() - begun);
            };
            running.run(task, hour);
        });
        spawn("first", move || {
            clock.advance();
            spawn("joins late", move || {
                quiet();
                assert!(!rung.load(SeqCst));
                (0..2).for_each(|_| clock.advance());
                until("hears the alarm", move || rung.load(SeqCst));
            });
        });
    });
    // Three, when two more have passed before the runtime's turn came.
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from([2, 3]));
}
