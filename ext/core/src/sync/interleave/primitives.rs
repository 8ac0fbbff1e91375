//! Locks, channels and bells, as threads of a scenario meet them: the real ones, with a stop before each use.

use std::{
    ops::{Deref, DerefMut},
    sync::{LockResult, PoisonError},
    time::Duration,
};

use super::{Waiting, execution, pass};
use crate::sync::bell;

// ===== lock =====

/// [`std::sync::Mutex`].
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

/// [`std::sync::MutexGuard`].
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    guard: std::sync::MutexGuard<'a, T>,
    lock: usize,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let lock = std::ptr::from_ref(&self.0).addr();
        pass("takes the lock", Waiting::Lock(lock));
        match self.0.lock() {
            Ok(guard) => Ok(MutexGuard { guard, lock }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { guard: poisoned.into_inner(), lock })),
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // Nobody else runs before this thread's next stop, and by then the real lock is free as well.
        if let Some(execution) = execution() {
            execution.release(self.lock);
        }
    }
}

// ===== bell =====

/// What is done under a lock is one step: whoever has a say in it needs the lock as well.
fn stop_without_a_lock(what: &'static str) {
    let under_a_lock =
        execution().is_some_and(|execution| execution.turn().is_some_and(|me| execution.holds_a_lock(me)));
    if !under_a_lock {
        pass(what, Waiting::Turn);
    }
}

/// [`bell::Bell`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell(bell::Bell);

impl Bell {
    pub(crate) fn ring(&self) {
        stop_without_a_lock("rings a bell");
        self.0.ring();
    }

    pub(crate) fn hear(&self, limit: Option<Duration>) -> bool {
        let bell = self.0.clone();
        let rung = Box::new(move || bell.has_rung());
        let wish = if limit.is_some() { Waiting::EventOrTime(rung) } else { Waiting::Event(rung) };
        pass("hears its bell", wish) && self.0.hear(limit)
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.is_same(&other.0)
    }

    /// A wait that is over when it is over: others may do something meanwhile, or nothing.
    pub(crate) fn short_wait(&self, moment: Duration) -> bool {
        if execution().is_none() {
            return self.0.short_wait(moment);
        }
        pass("has napped", Waiting::Turn);
        self.0.short_wait(Duration::ZERO)
    }
}
