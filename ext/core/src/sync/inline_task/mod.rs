//! A task of the runtime that the thread which has woken it may also run.
//!
//! A worker that has an answer wakes the I/O thread, which writes it to the socket. When the worker has nothing else to do, that
//! takes longer than to write it: here the worker polls the connection's task itself, as a runtime of many threads would, and
//! the I/O thread sleeps on. One thread polls at a time; one that comes meanwhile has the task polled again.

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

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// The tasks that this thread has woken and will run, inside [`run_inline`].
    static WOKEN: RefCell<Option<Vec<Arc<Shared>>>> = const { RefCell::new(None) };
}

/// A future that runs `work`, or waits while another thread runs it. When this is dropped, so is the work.
pub(crate) struct Task(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Wakes the runtime's task.
    task: AtomicWaker,
    runtime: Handle,
}

enum State {
    /// No thread polls it.
    Idle(Work),
    /// A thread polls it; whether it is to be polled again after that.
    Running { again: bool },
    /// It has ended, or was dropped.
    Done,
    /// It has panicked. The runtime's task is to panic with that.
    Panicked(Box<dyn Any + Send>),
}

/// Makes a task of `work`. Needs the runtime.
pub(crate) fn task(work: impl Future<Output = ()> + Send + 'static) -> Task {
    let state = Mutex::new(State::Idle(Box::pin(work)));
    Task(Arc::new(Shared { state, task: AtomicWaker::new(), runtime: Handle::current() }))
}

/// Does `act`, and then runs the tasks that it has woken at once, on this thread.
pub(crate) fn run_inline<T>(act: impl FnOnce() -> T) -> T {
    WOKEN.set(Some(Vec::new()));
    let left = LeftToRuntime;
    let acted = act();
    std::mem::forget(left);
    for shared in WOKEN.take().unwrap_or_default() {
        if shared.poll(true).is_ready() {
            shared.task.wake();
        }
    }
    acted
}

/// When `act` has panicked, the runtime runs what it has woken until then.
struct LeftToRuntime;

impl Drop for LeftToRuntime {
    fn drop(&mut self) {
        WOKEN.take().iter().flatten().for_each(|shared| shared.task.wake());
    }
}

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.task.register(cx.waker());
        let polled = self.0.poll(false);
        if polled.is_ready() {
            let ended = std::mem::replace(&mut *self.0.state(), State::Done);
            if let State::Panicked(panic) = ended {
                resume_unwind(panic);
            }
        }
        polled
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // A thread that polls the work drops it after that.
        let work = std::mem::replace(&mut *self.0.state(), State::Done);
        drop(work);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Polls the work, unless another thread does. Returns whether it has ended. `inline` is on a thread that is not the runtime's.
    fn poll(self: &Arc<Self>, inline: bool) -> Poll<()> {
        let mut work = {
            let mut state = self.state();
            match std::mem::replace(&mut *state, State::Running { again: false }) {
                State::Idle(work) => work,
                State::Running { .. } => {
                    *state = State::Running { again: true };
                    return Poll::Pending;
                }
                ended => {
                    *state = ended;
                    return Poll::Ready(());
                }
            }
        };
        let waker = Waker::from(self.clone());
        // The panic is taken to where it belongs below: a state that stayed `Running` would have every thread wait for ever.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _entered = inline.then(|| self.runtime.enter());
            work.as_mut().poll(&mut Context::from_waker(&waker))
        }));
        if let Ok(Poll::Pending) = polled {
            let mut state = self.state();
            if let State::Running { again } = *state {
                *state = State::Idle(work);
                drop(state);
                if again {
                    self.task.wake();
                }
                return Poll::Pending;
            }
        }
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(work)));
        let mut state = self.state();
        *state = match polled.err().or(dropped.err()) {
            Some(panic) if !matches!(*state, State::Done) => State::Panicked(panic),
            _ => State::Done,
        };
        Poll::Ready(())
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        let left = WOKEN.with_borrow_mut(|woken| match woken {
            Some(woken) => {
                woken.push(self);
                None
            }
            None => Some(self),
        });
        if let Some(shared) = left {
            shared.task.wake();
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
