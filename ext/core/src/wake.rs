//! A worker's alarm clock: wakes one thread that waits for whatever reason, from any other thread.
//!
//! A call before the wait is not lost, several calls count as one, and a wake-up may come for nothing: whoever
//! waits looks again at what it waits for.

use std::time::Duration;

use crate::sync::Bell;

/// The sleeping side; stays with its thread.
#[derive(Debug)]
pub struct Sleeper(Bell);

/// The waking side; can be cloned and sent anywhere.
#[derive(Clone, Debug)]
pub struct Waker(Bell);

impl Sleeper {
    /// An alarm that is not set.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(Bell::default())
    }

    /// A handle that wakes this sleeper.
    pub fn waker(&self) -> Waker {
        Waker(self.0.clone())
    }

    /// Waits until woken.
    pub fn sleep(&self) {
        self.0.hear(None);
    }

    /// Waits until woken, at most this long; whether it was woken.
    pub fn sleep_for(&self, limit: Duration) -> bool {
        self.0.hear(Some(limit))
    }
}

impl Waker {
    /// Wakes the sleeper, now or at its next wait.
    pub fn wake(&self) {
        self.0.ring();
    }

    /// Whether both wake the same sleeper.
    pub fn wakes_same(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
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
