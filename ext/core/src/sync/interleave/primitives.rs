//! The lock and the parker, as threads of a scenario meet them: the real ones, with a stop before each use.

use std::{
    ops::{Deref, DerefMut},
    sync::{LockResult, PoisonError},
    time::Duration,
};

use super::{Waiting, execution, pass};

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
        // No other thread runs before this one's next stop, and by then the real lock is free as well.
        if let Some(execution) = execution() {
            execution.release(self.lock);
        }
    }
}

// ===== parker =====

/// The stops of [`parker`](crate::sync::parker). What is done under a lock is one step: each thread that it matters to needs
/// the lock as well.
pub(crate) fn before_unpark() {
    let under_a_lock =
        execution().is_some_and(|execution| execution.turn().is_some_and(|me| execution.holds_a_lock(me)));
    if !under_a_lock {
        pass("unparks a thread", Waiting::Turn);
    }
}

/// Stops until the thread has been `woken`. Returns whether it has: otherwise its limit is over.
pub(crate) fn before_park(woken: impl Fn() -> bool + Send + 'static, limit: Option<Duration>) -> bool {
    let woken = Box::new(woken);
    pass("parks", if limit.is_some() { Waiting::EventOrTime(woken) } else { Waiting::Event(woken) })
}

/// Lets other threads run during a short wait. Returns for how long the caller still has to wait: not at all in an exploration.
pub(crate) fn before_short_wait(moment: Duration) -> Duration {
    if execution().is_none() {
        return moment;
    }
    pass("has waited for a moment", Waiting::Turn);
    Duration::ZERO
}
