//! Which thread polls, that no wake-up is lost between two threads that come at a time, and how the work ends.

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
fn the_worker_polls_and_the_runtime_sleeps_on() {
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
    let worker = thread::spawn(move || {
        run_inline(|| sender.send(1).unwrap());
        sender
    });
    let workers_id = worker.thread().id();
    let sender = worker.join().unwrap();
    assert_eq!(*seen.lock().unwrap(), [(1, workers_id)]);
    assert!(!flag.0.load(SeqCst), "the runtime was not woken");
    sender.send(2).unwrap();
    assert!(flag.0.load(SeqCst), "a thread that does not run it wakes the runtime");
    assert!(poll(&mut task, &flag).is_pending());
    assert_eq!(seen.lock().unwrap()[1], (2, thread::current().id()));
    flag.0.store(false, SeqCst);
    run_inline(|| drop(sender));
    assert!(flag.0.load(SeqCst), "the runtime hears of the end");
    assert!(poll(&mut task, &flag).is_ready());
}

/// The worker's thread enters the runtime: the work may set timers.
#[test]
fn the_work_may_need_the_runtime() {
    let runtime = runtime();
    let (sender, answer) = oneshot::channel();
    runtime.block_on(async {
        let task = tokio::spawn(task(async move {
            answer.await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }));
        tokio::task::yield_now().await;
        thread::spawn(|| run_inline(|| sender.send(()).unwrap())).join().unwrap();
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
        thread::spawn(|| run_inline(|| sender.send(()).unwrap())).join().unwrap();
        task.await
    });
    assert!(failed.unwrap_err().is_panic());
}

/// A state that stayed at "running" had all that came later wait for the end of it.
#[test]
fn a_panic_of_the_runtimes_own_poll_is_the_end_for_all() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let (sender, answer) = oneshot::channel::<()>();
    let (alive, flag) = (Arc::new(()), Arc::new(Flag::default()));
    let held = alive.clone();
    let mut first = true;
    let mut answer = Box::pin(answer);
    let mut task = task(poll_fn(move |cx| {
        let _held = &held;
        assert!(answer.as_mut().poll(cx).is_pending());
        assert!(std::mem::take(&mut first), "it fails");
        Poll::Pending
    }));
    assert!(poll(&mut task, &flag).is_pending());
    catch_unwind(AssertUnwindSafe(|| poll(&mut task, &flag))).unwrap_err();
    assert_eq!(Arc::strong_count(&alive), 1, "the work is dropped");
    run_inline(|| sender.send(()).unwrap_err());
    assert!(poll(&mut task, &flag).is_ready());
}

/// The work's own drop fails, on the worker's thread.
#[test]
fn a_panic_at_the_end_of_the_work_is_the_runtimes() {
    struct Fails;
    impl Drop for Fails {
        fn drop(&mut self) {
            panic!("it fails");
        }
    }
    let runtime = runtime();
    let (sender, answer) = oneshot::channel::<()>();
    let failed = runtime.block_on(async {
        let fails = Fails;
        let task = tokio::spawn(task(poll_fn({
            let mut answer = Box::pin(answer);
            move |cx| {
                let _fails = &fails;
                answer.as_mut().poll(cx).map(drop)
            }
        })));
        tokio::task::yield_now().await;
        thread::spawn(|| run_inline(|| sender.send(()).unwrap())).join().unwrap();
        task.await
    });
    assert!(failed.unwrap_err().is_panic());
}

/// What was woken until then is the runtime's to run, as is what this thread wakes later.
#[test]
fn a_panic_between_the_wake_up_and_the_run_leaves_the_task_to_the_runtime() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let (sender, mut numbers) = mpsc::unbounded_channel();
    let flag = Arc::new(Flag::default());
    let mut task = task(async move { while numbers.recv().await.is_some() {} });
    for _ in 0..2 {
        assert!(poll(&mut task, &flag).is_pending());
        let act = AssertUnwindSafe(|| {
            sender.send(()).unwrap();
            panic!("it fails");
        });
        catch_unwind(|| run_inline(act)).unwrap_err();
        assert!(flag.0.swap(false, SeqCst));
    }
    assert!(poll(&mut task, &flag).is_pending());
    sender.send(()).unwrap();
    assert!(flag.0.load(SeqCst));
}

/// A worker's poll fails while the runtime comes, in every order: the runtime hears of it.
#[test]
fn a_panic_is_never_waited_for() {
    let (runtime, ended) = (runtime(), Arc::new(AtomicUsize::new(0)));
    let runs = Explorer { preemptions: 3, timeouts: 0 }.explore(|| {
        let (sender, mut answer) = oneshot::channel::<()>();
        let mut task = {
            let _entered = runtime.enter();
            task(poll_fn(move |cx| {
                if Pin::new(&mut answer).poll(cx).is_ready() {
                    // Without the panic hook, which would write a report for each order.
                    resume_unwind(Box::new("it fails"));
                }
                Poll::Pending
            }))
        };
        let (flag, finished) = (Arc::new(Flag::default()), ended.clone());
        spawn("runtime", move || {
            loop {
                match catch_unwind(AssertUnwindSafe(|| poll(&mut task, &flag))) {
                    Ok(Poll::Pending) => {}
                    Ok(Poll::Ready(())) => panic!("it ends as if nothing had happened"),
                    Err(_) => break,
                }
                let woken = flag.clone();
                until("is woken", move || woken.0.load(SeqCst));
                flag.0.store(false, SeqCst);
            }
            finished.fetch_add(1, SeqCst);
        });
        spawn("worker", move || {
            point("answers");
            run_inline(|| sender.send(()).unwrap());
        });
    });
    assert_eq!(ended.load(SeqCst), runs);
    assert!(runs > 3, "{runs} orders");
}

#[test]
fn what_is_dropped_drops_its_work() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let (sender, answer) = oneshot::channel::<()>();
    let flag = Arc::new(Flag::default());
    let mut task = task(async move { drop(answer.await) });
    assert!(poll(&mut task, &flag).is_pending());
    drop(task);
    assert!(sender.is_closed());
}

/// The task is dropped while a worker polls the work.
#[test]
fn what_is_dropped_while_a_worker_runs_it_is_dropped_by_the_worker() {
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
    run_inline(|| sender.send(()).unwrap());
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// Two workers and the runtime, in every order: none waits for ever, and no two poll at a time.
#[test]
fn no_wake_up_is_lost() {
    let runtime = runtime();
    let (polls, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runs = Explorer { preemptions: 3, timeouts: 0 }.explore(|| {
        let (first, mut one) = oneshot::channel();
        let (second, mut other) = oneshot::channel();
        let (counted, finished) = (polls.clone(), ended.clone());
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
        for (name, answer) in [("worker", first), ("other worker", second)] {
            spawn(name, move || {
                point("answers");
                run_inline(|| answer.send(()).unwrap());
            });
        }
    });
    assert_eq!(ended.load(SeqCst), runs);
    assert!(runs > 20, "{runs} orders");
}
