//! Parking: one thread waits for whatever reason, and any other thread wakes it.
//!
//! A wake-up before the wait is not lost, several count as one, and one may come for nothing: the thread that was woken looks
//! again at what it waits for.
//!
//! crossbeam's parker does the waiting. What it does not tell is kept beside it: whether a wait was ended by a wake-up or by its
//! limit, and whether two unparkers belong to the same parker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

#[cfg(test)]
use crate::sync::interleave::primitives;

/// The waiting side; stays with its thread.
#[derive(Debug)]
pub struct Parker {
    parker: crossbeam_utils::sync::Parker,
    shared: Arc<Shared>,
}

/// The waking side; can be cloned and sent anywhere.
#[derive(Clone, Debug)]
pub struct Unparker {
    shared: Arc<Shared>,
    /// Set before each use of this one.
    sign: Option<Arc<AtomicBool>>,
}

#[derive(Debug)]
struct Shared {
    /// Set before each wake-up, and taken by the wait that the wake-up ends.
    woken: AtomicBool,
    unparker: crossbeam_utils::sync::Unparker,
}

impl Parker {
    /// A parker that nothing has woken yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let parker = crossbeam_utils::sync::Parker::new();
        let shared = Arc::new(Shared { woken: AtomicBool::new(false), unparker: parker.unparker().clone() });
        Self { parker, shared }
    }

    /// A handle that wakes this parker.
    pub fn unparker(&self) -> Unparker {
        Unparker { shared: self.shared.clone(), sign: None }
    }

    /// Waits until woken.
    pub fn park(&self) {
        #[cfg(test)]
        primitives::before_park(self.woken_later(), None);
        self.wait(None);
    }

    /// Waits until woken, at most for `limit`. Returns whether it was woken.
    pub fn park_timeout(&self, limit: Duration) -> bool {
        #[cfg(test)]
        if !primitives::before_park(self.woken_later(), Some(limit)) {
            return false;
        }
        self.wait(Some(limit))
    }

    /// The same for a moment, which is over soon in any case.
    pub(crate) fn short_wait(&self, moment: Duration) -> bool {
        #[cfg(test)]
        let moment = primitives::before_short_wait(moment);
        self.wait(Some(moment))
    }

    fn wait(&self, limit: Option<Duration>) -> bool {
        // A limit beyond what the clock can tell is none.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        // crossbeam's parker may still have the wake-up that an earlier wait has seen by its flag: then it returns at once.
        while !self.shared.woken.swap(false, SeqCst) {
            match deadline {
                None => self.parker.park(),
                Some(deadline) if Instant::now() < deadline => self.parker.park_deadline(deadline),
                Some(_) => return false,
            }
        }
        true
    }

    /// Whether it has been woken, to be asked by another thread.
    #[cfg(test)]
    fn woken_later(&self) -> impl Fn() -> bool + Send + 'static {
        let shared = self.shared.clone();
        move || shared.woken.load(SeqCst)
    }
}

impl Unparker {
    /// Whether both wake the same parker.
    pub(crate) fn is_of_same_parker(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Wakes the parker, now or at its next wait.
    pub fn unpark(&self) {
        if let Some(sign) = &self.sign {
            sign.store(true, SeqCst);
        }
        #[cfg(test)]
        primitives::before_unpark();
        self.shared.woken.store(true, SeqCst);
        self.shared.unparker.unpark();
    }

    /// Whether both wake the same parker.
    pub fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
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
    fn a_wake_up_before_the_wait_is_not_lost() {
        let parker = Parker::new();
        parker.unparker().unpark();
        parker.unparker().clone().unpark();
        parker.park();
        assert!(!parker.park_timeout(Duration::ZERO), "two count as one");
        assert!(!parker.park_timeout(Duration::from_millis(1)), "and the second does not end the wait after that");
    }

    #[test]
    fn a_limit_that_no_clock_can_tell_is_none() {
        let parker = Parker::new();
        let unparker = parker.unparker();
        let thread = std::thread::spawn(move || unparker.unpark());
        assert!(parker.park_timeout(Duration::MAX));
        thread.join().unwrap();
    }

    /// Two threads wake each other in turn: a wake-up that is lost stops them for ever.
    #[test]
    fn no_wake_up_is_lost() {
        let (ours, theirs) = (Parker::new(), Parker::new());
        let (wakes_us, wakes_them) = (ours.unparker(), theirs.unparker());
        let thread = std::thread::spawn(move || {
            for turn in 0..2000 {
                if turn % 2 == 0 {
                    theirs.park();
                } else {
                    assert!(theirs.park_timeout(Duration::MAX));
                }
                wakes_us.unpark();
            }
        });
        for _ in 0..2000 {
            wakes_them.unpark();
            ours.park();
        }
        thread.join().unwrap();
    }

    #[test]
    fn tells_unparkers_of_one_parker_from_those_of_others() {
        let (one, other) = (Parker::new(), Parker::new());
        assert!(one.unparker().is_same_as(&one.unparker()));
        assert!(!one.unparker().is_same_as(&other.unparker()));
    }
}
