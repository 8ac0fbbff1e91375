//! Locks, channels and bells, as threads of a scenario meet them: the real ones, with a stop before each use.

use std::{
    ops::{Deref, DerefMut},
    sync::{LockResult, PoisonError},
    time::Duration,
};

use crossbeam_channel::{TryRecvError, TrySendError};

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

// ===== channel =====

/// What is done under a lock is one step: whoever has a say in it needs the lock as well.
fn stop_without_a_lock(what: &'static str) {
    let under_a_lock =
        execution().is_some_and(|execution| execution.turn().is_some_and(|me| execution.holds_a_lock(me)));
    if !under_a_lock {
        pass(what, Waiting::Turn);
    }
}

/// [`crossbeam_channel::Sender`].
#[derive(Debug)]
pub(crate) struct Sender<T>(crossbeam_channel::Sender<T>);

/// [`crossbeam_channel::Receiver`].
#[derive(Debug)]
pub(crate) struct Receiver<T>(crossbeam_channel::Receiver<T>);

/// [`crossbeam_channel::bounded`].
pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = crossbeam_channel::bounded(capacity);
    (Sender(sender), Receiver(receiver))
}

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        stop_without_a_lock("puts into a channel");
        self.0.try_send(value)
    }
}

impl<T: Send + 'static> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        stop_without_a_lock("looks into a channel");
        self.0.try_recv()
    }
}

impl<T> Deref for Receiver<T> {
    type Target = crossbeam_channel::Receiver<T>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

// ===== bell =====

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
    pub(crate) fn nap(&self, moment: Duration) -> bool {
        if execution().is_none() {
            return self.0.nap(moment);
        }
        pass("has napped", Waiting::Turn);
        self.0.nap(Duration::ZERO)
    }
}
