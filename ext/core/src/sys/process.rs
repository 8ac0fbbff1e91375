//! The process: a bound on its exit, so that application code that does not return cannot keep a finished server's process until
//! the platform kills it, and a bound on the arenas of its heap.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use crate::sys;

/// Has no more than `count` arenas of the C library's heap made from now on, where it has such a thing.
pub fn limit_arenas(count: u16) {
    sys::limit_arenas(count.into());
}

/// Ends the process with `status` in `limit` from now, if it still exists then. Nothing registered for the exit
/// is run.
///
/// # Errors
///
/// When the system has no thread left.
pub fn exit_within(limit: Duration, status: i32) -> io::Result<()> {
    let on_timeout = move || {
        thread::sleep(limit);
        sys::exit_now(status)
    };
    thread::Builder::new().name("tidegate-exit".into()).spawn(on_timeout).map(drop)
}

/// Does something at a time that is set later, on a thread of its own. Once a time is set, dropping the value changes nothing:
/// the process may have forgotten the server by then.
#[derive(Debug)]
pub(crate) struct Watchdog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Armed(Instant),
    /// It will never be armed, or not any more.
    Over,
}

impl Watchdog {
    /// A watchdog for which no time is set.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub(crate) fn start(on_timeout: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::new(State::Idle), changed: Condvar::new() });
        let watching = shared.clone();
        let run = move || {
            if watching.wait() {
                on_timeout();
            }
        };
        thread::Builder::new().name("tidegate-exit".into()).spawn(run)?;
        Ok(Self(shared))
    }

    /// Sets the time, in place of one that was set before. Changes nothing once it was called off.
    pub(crate) fn set(&self, time: Instant) {
        let mut state = self.0.state();
        if !matches!(*state, State::Over) {
            *state = State::Armed(time);
            self.0.changed.notify_one();
        }
    }

    /// What calls this watchdog off.
    pub(crate) fn recall(&self) -> Recall {
        Recall(self.0.clone())
    }
}

/// Calls a watchdog off, whether a time is set or not.
#[derive(Debug)]
pub(crate) struct Recall(Arc<Shared>);

impl Recall {
    pub(crate) fn call_off(&self) {
        *self.0.state() = State::Over;
        self.0.changed.notify_one();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if matches!(*state, State::Idle) {
            *state = State::Over;
            self.0.changed.notify_one();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits for the time that is set: true; false when none ever will be.
    fn wait(&self) -> bool {
        let mut state = self.state();
        loop {
            state = match *state {
                State::Idle => self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
                State::Over => return false,
                State::Armed(time) => {
                    let left = time.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return true;
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn watchdog() -> (Watchdog, mpsc::Receiver<()>) {
        let (expires, expired) = mpsc::channel();
        (Watchdog::start(move || expires.send(()).unwrap()).unwrap(), expired)
    }

    #[test]
    fn bites_at_the_time_that_was_set_last_although_it_was_forgotten() {
        let (watchdog, expired) = watchdog();
        watchdog.set(Instant::now() + Duration::from_secs(3600));
        watchdog.set(Instant::now());
        drop(watchdog);
        assert_eq!(expired.recv(), Ok(()));
    }

    #[test]
    fn is_called_off_although_a_time_is_set() {
        let (watchdog, expired) = watchdog();
        watchdog.set(Instant::now() + Duration::from_secs(3600));
        watchdog.recall().call_off();
        assert_eq!(expired.recv(), Err(mpsc::RecvError), "its thread has ended");
        watchdog.set(Instant::now());
    }

    #[test]
    fn ends_with_a_server_that_ended_for_itself() {
        let (watchdog, expired) = watchdog();
        drop(watchdog);
        assert_eq!(expired.recv(), Err(mpsc::RecvError));
    }
}
