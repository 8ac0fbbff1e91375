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

use crate::sync::Bell;

/// The sleeping side; stays with its thread.
#[derive(Debug)]
pub struct Parker(Bell);

/// The waking side; can be cloned and sent anywhere.
#[derive(Clone, Debug)]
pub struct Unparker {
    bell: Bell,
    /// Says afterwards that it was this one.
    sign: Option<Arc<AtomicBool>>,
}

impl Parker {
    /// An alarm that is not set.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(Bell::default())
    }

    /// A handle that wakes this parker.
    pub fn unparker(&self) -> Unparker {
        Unparker { bell: self.0.clone(), sign: None }
    }

    /// Waits until woken.
    pub fn park(&self) {
        self.0.hear(None);
    }

    /// Waits until woken, at most this long; whether it was woken.
    pub fn park_timeout(&self, limit: Duration) -> bool {
        self.0.hear(Some(limit))
    }

    /// The same for a moment, which is over soon in any case.
    pub(crate) fn short_wait(&self, moment: Duration) -> bool {
        self.0.short_wait(moment)
    }
}

impl Unparker {
    /// Wakes the parker, now or at its next wait.
    pub fn unpark(&self) {
        if let Some(sign) = &self.sign {
            sign.store(true, SeqCst);
        }
        self.bell.ring();
    }

    /// Whether both wake the same parker.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.bell.is_same(&other.bell)
    }

    /// The same, but each use of it sets `sign` first, by which the parker tells it from others.
    pub(crate) fn with_sign(self, sign: Arc<AtomicBool>) -> Self {
        Self { sign: Some(sign), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_sleep_is_not_lost() {
        let parker = Parker::new();
        parker.unparker().unpark();
        parker.unparker().unpark();
        parker.park();
        assert!(!parker.park_timeout(Duration::from_millis(1)), "two calls count as one");
    }

    #[test]
    fn wakes_another_thread() {
        let parker = Parker::new();
        let unparker = parker.unparker();
        let thread = std::thread::spawn(move || unparker.unpark());
        parker.park();
        thread.join().unwrap();
    }
}
