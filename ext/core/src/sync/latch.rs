//! A latch: something that happens once in a server's life, and threads that wait until it has.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use crate::sync::{Parker, Unparker};

/// A latch, for the threads that wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Latch(Arc<Mutex<Waiters>>);

/// The trigger of a latch: when it is dropped, the latch is reached.
#[derive(Debug)]
pub(crate) struct LatchTrigger(Latch);

#[derive(Debug, Default)]
struct Waiters {
    reached: bool,
    waiting: Vec<Unparker>,
}

/// A latch that is not reached yet.
pub(crate) fn latch() -> (LatchTrigger, Latch) {
    let latch = Latch(Arc::default());
    (LatchTrigger(latch.clone()), latch)
}

impl Latch {
    fn state(&self) -> MutexGuard<'_, Waiters> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until it is reached: `Some(true)`; `Some(false)` after `limit`; `None` when `parker` was woken for something else.
    pub(crate) fn wait(&self, parker: &Parker, limit: Option<Duration>) -> Option<bool> {
        let unparker = parker.unparker();
        let mut state = self.state();
        if !state.reached {
            state.waiting.push(unparker.clone());
            drop(state);
            let woken = match limit {
                Some(limit) => parker.park_timeout(limit),
                None => {
                    parker.park();
                    true
                }
            };
            state = self.state();
            state.waiting.retain(|other| !other.is_same_as(&unparker));
            if !state.reached {
                return if woken { None } else { Some(false) };
            }
        }
        Some(true)
    }
}

impl Drop for LatchTrigger {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.reached = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.iter().for_each(Unparker::unpark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_has_ended_the_wait() {
        let (trigger, latch) = latch();
        let parker = Parker::new();
        assert_eq!(latch.wait(&parker, Some(Duration::ZERO)), Some(false));
        parker.unparker().unpark();
        assert_eq!(latch.wait(&parker, None), None);
        assert!(latch.state().waiting.is_empty(), "none is left behind");
        drop(trigger);
        assert_eq!(latch.wait(&parker, None), Some(true));
    }

    #[test]
    fn all_that_wait_hear_of_it() {
        let (trigger, latch) = latch();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let latch = latch.clone();
                std::thread::spawn(move || latch.wait(&Parker::new(), None))
            })
            .collect();
        while latch.state().waiting.len() < 3 {
            std::thread::yield_now();
        }
        drop(trigger);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Some(true));
        }
    }
}
