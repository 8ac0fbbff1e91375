//! A worker's alarm clock: wakes one thread that waits for whatever reason, from any other thread.
//!
//! A call before the wait is not lost, several calls count as one, and a wake-up may come for nothing: whoever
//! waits looks again at what it waits for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use crossbeam_channel::RecvTimeoutError;

use crate::sync::{Receiver, Sender, bounded, nap};

/// The sleeping side; stays with its thread.
#[derive(Debug)]
pub struct Sleeper {
    bell: Receiver<()>,
    waker: Waker,
}

/// The waking side; can be cloned and sent anywhere.
#[derive(Clone, Debug)]
pub struct Waker {
    ring: Sender<()>,
    /// Says afterwards that it was this one.
    sign: Option<Arc<AtomicBool>>,
}

impl Sleeper {
    /// An alarm that is not set.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let (ring, bell) = bounded(1);
        Self { bell, waker: Waker { ring, sign: None } }
    }

    /// A handle that wakes this sleeper.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits until woken.
    pub fn sleep(&self) {
        // The sender lives in `self`, so the channel cannot be disconnected.
        let _ = self.bell.recv();
    }

    /// Waits until woken, at most this long; whether it was woken.
    pub fn sleep_for(&self, limit: Duration) -> bool {
        !matches!(self.bell.recv_timeout(limit), Err(RecvTimeoutError::Timeout))
    }

    /// The same for a moment, which is over soon in any case.
    pub(crate) fn nap(&self, moment: Duration) -> bool {
        nap(&self.bell, moment)
    }

    /// The channel that is ready when woken, to wait for in a `select!` beside another.
    pub(crate) fn bell(&self) -> &crossbeam_channel::Receiver<()> {
        &self.bell
    }
}

impl Waker {
    /// Wakes the sleeper, now or at its next wait.
    pub fn wake(&self) {
        if let Some(sign) = &self.sign {
            sign.store(true, SeqCst);
        }
        // Full means that a wake-up is under way already.
        let _ = self.ring.try_send(());
    }

    /// Whether both wake the same sleeper.
    pub fn wakes_same(&self, other: &Self) -> bool {
        self.ring.same_channel(&other.ring)
    }

    /// The same, but each use of it sets `sign` first, by which the sleeper tells it from others.
    pub(crate) fn with_sign(self, sign: Arc<AtomicBool>) -> Self {
        Self { sign: Some(sign), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_sleep_is_not_lost() {
        let sleeper = Sleeper::new();
        sleeper.waker().wake();
        sleeper.waker().wake();
        sleeper.sleep();
        assert!(!sleeper.sleep_for(Duration::from_millis(1)), "two calls count as one");
    }

    #[test]
    fn wakes_another_thread() {
        let sleeper = Sleeper::new();
        let waker = sleeper.waker();
        let thread = std::thread::spawn(move || waker.wake());
        sleeper.sleep();
        thread.join().unwrap();
    }
}
