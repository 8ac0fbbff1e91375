//! A bell: one thread hears it, any rings it. Two strokes before it is heard count as one.
//!
//! A channel would do, but whoever waits at one first spins and yields for some microseconds, in vain between two requests
//! that come one by one, and meets the one who rings at a lock of the channel's. Here neither costs more than its one
//! system call.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// Can be cloned; all clones are the same bell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    stroke: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rung: bool,
    /// Somebody waits for it.
    awaited: bool,
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.0.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Rings.
    pub(crate) fn ring(&self) {
        let mut state = self.state();
        let calls = state.awaited && !state.rung;
        state.rung = true;
        drop(state);
        if calls {
            // Without the lock, which the one that is woken needs at once.
            self.0.stroke.notify_one();
        }
    }

    /// Waits until it has rung, at most for `limit`; whether it has. Only one thread may.
    pub(crate) fn hear(&self, limit: Option<Duration>) -> bool {
        let mut state = self.state();
        if !state.rung {
            // A limit beyond what the clock can tell is none.
            let deadline = limit.map(|limit| Instant::now().checked_add(limit));
            state.awaited = true;
            while !state.rung {
                let Some(Some(deadline)) = deadline else {
                    state = self.0.stroke.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
                    continue;
                };
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = self.0.stroke.wait_timeout(state, left);
                state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
            }
            state.awaited = false;
        }
        std::mem::take(&mut state.rung)
    }

    /// The same for a moment, which is over soon in any case.
    pub(crate) fn short_wait(&self, moment: Duration) -> bool {
        self.hear(Some(moment))
    }

    /// Whether both are the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether it has rung and was not heard yet.
    #[cfg(test)]
    pub(crate) fn has_rung(&self) -> bool {
        self.state().rung
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_heard_once_however_often_it_was_rung() {
        let bell = Bell::default();
        bell.ring();
        bell.clone().ring();
        assert!(bell.hear(None));
        assert!(!bell.hear(Some(Duration::ZERO)));
    }

    #[test]
    fn a_limit_that_no_clock_can_tell_is_none() {
        let bell = Bell::default();
        let ringer = bell.clone();
        let thread = std::thread::spawn(move || ringer.ring());
        assert!(bell.hear(Some(Duration::MAX)));
        thread.join().unwrap();
    }

    /// Two threads wake each other in turn: a stroke that is lost stops them for ever.
    #[test]
    fn no_stroke_is_lost() {
        let (ours, theirs) = (Bell::default(), Bell::default());
        let (mine, yours) = (ours.clone(), theirs.clone());
        let thread = std::thread::spawn(move || {
            for turn in 0..2000 {
                yours.hear(if turn % 2 == 0 { None } else { Some(Duration::MAX) });
                mine.ring();
            }
        });
        for _ in 0..2000 {
            theirs.ring();
            ours.hear(None);
        }
        thread.join().unwrap();
    }
}
