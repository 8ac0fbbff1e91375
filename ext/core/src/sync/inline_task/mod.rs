//! A task of the runtime whose next step may also be done by the thread that has made it possible.
//!
//! A worker that has an answer wakes the runtime's thread, which writes it to the socket. When the worker has nothing else to
//! do, that takes longer than to write it: here it does the connection's step itself, as a runtime of many threads would have
//! it, and the runtime's thread sleeps on. One thread steps at a time; who comes meanwhile has the task step again.

use std::{
    any::Any,
    cell::RefCell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use atomic_waker::AtomicWaker;
use tokio::runtime::Handle;

use crate::sync::{Mutex, MutexGuard};

type Inner = dyn Future<Output = ()> + Send;
type Work = Pin<Box<Inner>>;

thread_local! {
    /// What this thread has made possible and will do, while it helps.
    static TO_DO: RefCell<Option<Vec<Arc<Steps>>>> = const { RefCell::new(None) };
}

/// Has the runtime do `work`, or others, step by step. Dropped, the work is given up.
pub(crate) struct Task(Arc<Steps>);

struct Steps {
    state: Mutex<State>,
    task: AtomicWaker,
    runtime: Handle,
}

enum State {
    /// Nobody is at it.
    Waiting(Work),
    /// Somebody does a step; whether one more is needed then.
    Stepping { again: bool },
    /// It is done, or given up.
    Over,
    /// It has panicked, on a thread that is not the runtime's.
    Failed(Box<dyn Any + Send>),
}

/// Makes a task of `work`. Needs the runtime.
pub(crate) fn task(work: impl Future<Output = ()> + Send + 'static) -> Task {
    let state = Mutex::new(State::Waiting(Box::pin(work)));
    Task(Arc::new(Steps { state, task: AtomicWaker::new(), runtime: Handle::current() }))
}

/// Does `act`, and then at once, on this thread, the next steps of the tasks that it has woken.
pub(crate) fn help<T>(act: impl FnOnce() -> T) -> T {
    TO_DO.set(Some(Vec::new()));
    let acted = act();
    for steps in TO_DO.take().unwrap_or_default() {
        steps.help();
    }
    acted
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.task.register(cx.waker());
        self.0.step(|work, cx| work.poll(cx))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // What somebody is at is dropped by him.
        let given_up = std::mem::replace(&mut *self.0.state(), State::Over);
        drop(given_up);
    }
}

impl Steps {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Does a step, unless somebody is at it.
    fn step(self: &Arc<Self>, poll: impl FnOnce(Pin<&mut Inner>, &mut Context<'_>) -> Poll<()>) -> Poll<()> {
        let mut work = {
            let mut state = self.state();
            match std::mem::replace(&mut *state, State::Over) {
                State::Waiting(work) => {
                    *state = State::Stepping { again: false };
                    work
                }
                State::Stepping { .. } => {
                    *state = State::Stepping { again: true };
                    return Poll::Pending;
                }
                State::Over => return Poll::Ready(()),
                State::Failed(panic) => {
                    drop(state);
                    resume_unwind(panic);
                }
            }
        };
        let waker = Waker::from(self.clone());
        let stepped = poll(work.as_mut(), &mut Context::from_waker(&waker));
        let mut state = self.state();
        match (stepped, &*state) {
            (Poll::Pending, State::Stepping { again }) => {
                let again = *again;
                *state = State::Waiting(work);
                drop(state);
                if again {
                    self.task.wake();
                }
                Poll::Pending
            }
            // It is done, or was given up meanwhile.
            _ => {
                *state = State::Over;
                drop(state);
                drop(work);
                Poll::Ready(())
            }
        }
    }

    /// Does a step on a thread that is not the runtime's.
    fn help(self: &Arc<Self>) {
        let mut panic = None;
        let stepped = self.step(|work, cx| {
            let _entered = self.runtime.enter();
            let polled = catch_unwind(AssertUnwindSafe(|| work.poll(cx)));
            polled.unwrap_or_else(|payload| {
                panic = Some(payload);
                Poll::Ready(())
            })
        });
        if let Some(panic) = panic {
            // It is the runtime's to deal with.
            *self.state() = State::Failed(panic);
        }
        if stepped.is_ready() {
            self.task.wake();
        }
    }
}

impl Wake for Steps {
    fn wake(self: Arc<Self>) {
        let left = TO_DO.with_borrow_mut(|to_do| match to_do {
            Some(to_do) => {
                to_do.push(self);
                None
            }
            None => Some(self),
        });
        if let Some(steps) = left {
            steps.task.wake();
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.clone().wake();
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
