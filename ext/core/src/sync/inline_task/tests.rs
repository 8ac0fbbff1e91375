//! Who does a step, that none is lost between two who come at a time, and how the work ends.

use std::{
    future::poll_fn,
    sync::{
        Mutex as StdMutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
};

use super::*;
use crate::sync::interleave::{Explorer, point, spawn, until};

/// Notes that it was used.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn poll(task: &mut Task, flag: &Arc<Flag>) -> Poll<()> {
    Pin::new(task).poll(&mut Context::from_waker(&Waker::from(flag.clone())))
}

#[test]
fn the_helper_does_the_step_and_the_runtime_sleeps_on() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let (sender, mut numbers) = mpsc::unbounded_channel();
    let seen = Arc::new(StdMutex::new(Vec::new()));
    let noted = seen.clone();
    let mut task = task(async move {
        while let Some(number) = numbers.recv().await {
            noted.lock().unwrap().push((number, thread::current().id()));
        }
    });
    let flag = Arc::new(Flag::default());
    assert!(poll(&mut task, &flag).is_pending());
    let helper = thread::spawn(move || {
        help(|| sender.send(1).unwrap());
        sender
    });
    let helping = helper.thread().id();
    let sender = helper.join().unwrap();
    assert_eq!(*seen.lock().unwrap(), [(1, helping)]);
    assert!(!flag.0.load(SeqCst), "nobody was woken");
    sender.send(2).unwrap();
    assert!(flag.0.load(SeqCst), "who does not help wakes the runtime");
    assert!(poll(&mut task, &flag).is_pending());
    assert_eq!(seen.lock().unwrap()[1], (2, thread::current().id()));
    flag.0.store(false, SeqCst);
    help(|| drop(sender));
    assert!(flag.0.load(SeqCst), "the runtime hears of the end");
    assert!(poll(&mut task, &flag).is_ready());
}

/// The helper has the runtime at hand: the work may set timers.
#[test]
fn a_step_may_need_the_runtime() {
    let runtime = runtime();
    let (sender, answer) = oneshot::channel();
    runtime.block_on(async {
        let task = tokio::spawn(task(async move {
            answer.await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }));
        tokio::task::yield_now().await;
        thread::spawn(|| help(|| sender.send(()).unwrap())).join().unwrap();
        task.await.unwrap();
    });
}

#[test]
fn a_panic_is_the_runtimes() {
    let runtime = runtime();
    let (sender, answer) = oneshot::channel::<()>();
    let failed = runtime.block_on(async {
        let task = tokio::spawn(task(async move {
            answer.await.unwrap();
            panic!("it fails");
        }));
        tokio::task::yield_now().await;
        thread::spawn(|| help(|| sender.send(()).unwrap())).join().unwrap();
        task.await
    });
    assert!(failed.unwrap_err().is_panic());
}

#[test]
fn what_is_given_up_is_dropped() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let (sender, answer) = oneshot::channel::<()>();
    let flag = Arc::new(Flag::default());
    let mut task = task(async move { drop(answer.await) });
    assert!(poll(&mut task, &flag).is_pending());
    drop(task);
    assert!(sender.is_closed());
}

/// It is given up while a helper is at it.
#[test]
fn what_is_given_up_under_a_helpers_hands_is_dropped_by_him() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let (sender, answer) = oneshot::channel::<()>();
    let mine = Arc::new(StdMutex::new(None::<Task>));
    let (slot, alive) = (mine.clone(), Arc::new(()));
    let held = alive.clone();
    let flag = Arc::new(Flag::default());
    let mut made = task(async move {
        let _held = held;
        answer.await.unwrap();
        drop(slot.lock().unwrap().take());
        std::future::pending().await
    });
    assert!(poll(&mut made, &flag).is_pending());
    *mine.lock().unwrap() = Some(made);
    help(|| sender.send(()).unwrap());
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// Two helpers and the runtime, in every order: none waits for ever, and no two are at it at a time.
#[test]
fn no_step_is_lost() {
    let runtime = runtime();
    let (steps, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runs = Explorer { preemptions: 3, timeouts: 0 }.explore(|| {
        let (first, mut one) = oneshot::channel();
        let (second, mut other) = oneshot::channel();
        let (counted, finished) = (steps.clone(), ended.clone());
        let mut left = (false, false);
        let work = poll_fn(move |cx| {
            counted.fetch_add(1, SeqCst);
            left.0 = left.0 || Pin::new(&mut one).poll(cx).is_ready();
            left.1 = left.1 || Pin::new(&mut other).poll(cx).is_ready();
            if left == (true, true) { Poll::Ready(()) } else { Poll::Pending }
        });
        let mut task = {
            let _entered = runtime.enter();
            task(work)
        };
        let flag = Arc::new(Flag::default());
        spawn("runtime", move || {
            while poll(&mut task, &flag).is_pending() {
                let woken = flag.clone();
                until("is woken", move || woken.0.load(SeqCst));
                flag.0.store(false, SeqCst);
            }
            finished.fetch_add(1, SeqCst);
        });
        for (name, answer) in [("helper", first), ("other helper", second)] {
            spawn(name, move || {
                point("answers");
                help(|| answer.send(()).unwrap());
            });
        }
    });
    assert_eq!(ended.load(SeqCst), runs);
    assert!(runs > 20, "{runs} orders");
}
