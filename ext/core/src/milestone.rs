//! Something that happens once in a server's life, and threads that wait until it has.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use crate::wake::{Sleeper, Waker};

/// A milestone, as seen by those who wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Milestone(Arc<Mutex<State>>);

/// The way to a milestone: when this is dropped, it is reached.
#[derive(Debug)]
pub(crate) struct Way(Milestone);

#[derive(Debug, Default)]
struct State {
    reached: bool,
    waiting: Vec<Waker>,
}

/// A milestone that is not reached yet.
pub(crate) fn milestone() -> (Way, Milestone) {
    let milestone = Milestone(Arc::default());
    (Way(milestone.clone()), milestone)
}

impl Milestone {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until it is reached: `Some(true)`; `Some(false)` after `limit`; `None` when `sleeper` was woken.
    pub(crate) fn wait(&self, sleeper: &Sleeper, limit: Option<Duration>) -> Option<bool> {
        let waker = sleeper.waker();
        let mut state = self.state();
        if !state.reached {
            state.waiting.push(waker.clone());
            drop(state);
            let woken = match limit {
                Some(limit) => sleeper.sleep_for(limit),
                None => {
                    sleeper.sleep();
                    true
                }
            };
            state = self.state();
            state.waiting.retain(|other| !other.wakes_same(&waker));
            if !state.reached {
                return if woken { None } else { Some(false) };
            }
        }
        Some(true)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.reached = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_has_ended_the_wait() {
        let (way, milestone) = milestone();
        let sleeper = Sleeper::new();
        assert_eq!(milestone.wait(&sleeper, Some(Duration::ZERO)), Some(false));
        sleeper.waker().wake();
        assert_eq!(milestone.wait(&sleeper, None), None);
        assert!(milestone.state().waiting.is_empty(), "nobody is left behind");
        drop(way);
        assert_eq!(milestone.wait(&sleeper, None), Some(true));
    }

    #[test]
    fn everybody_hears_of_it() {
        let (way, milestone) = milestone();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let milestone = milestone.clone();
                std::thread::spawn(move || milestone.wait(&Sleeper::new(), None))
            })
            .collect();
        while milestone.state().waiting.len() < 3 {
            std::thread::yield_now();
        }
        drop(way);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Some(true));
        }
    }
}
