//! Locks and channels, as threads of a scenario meet them: the real ones, with a stop before each use.

use std::{
    ops::{Deref, DerefMut},
    sync::{LockResult, PoisonError},
    time::Duration,
};

use crossbeam_channel::{RecvError, RecvTimeoutError, TryRecvError, TrySendError};

use super::{Wish, course, pass};

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
        pass("takes the lock", Wish::Lock(lock));
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
        if let Some(course) = course() {
            course.release(self.lock);
        }
    }
}

// ===== channel =====

/// What is done under a lock is one step: whoever has a say in it needs the lock as well.
fn stop_without_a_lock(what: &'static str) {
    let under_a_lock = course().is_some_and(|course| course.turn().is_some_and(|me| course.holds_a_lock(me)));
    if !under_a_lock {
        pass(what, Wish::Turn);
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
        stop_without_a_lock("rings a bell");
        self.0.try_send(value)
    }

    pub(crate) fn same_channel(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        stop_without_a_lock("looks into a channel");
        self.0.try_recv()
    }

    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        pass("hears its bell", Wish::Event(self.rung()));
        self.0.recv()
    }

    pub(crate) fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        if pass("hears its bell", Wish::EventOrTime(self.rung())) {
            self.0.recv_timeout(limit)
        } else {
            Err(RecvTimeoutError::Timeout)
        }
    }

    fn rung(&self) -> Box<dyn Fn() -> bool + Send> {
        let bell = self.0.clone();
        Box::new(move || !bell.is_empty())
    }
}

impl<T> Deref for Receiver<T> {
    type Target = crossbeam_channel::Receiver<T>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Waits for a bell for a moment only, which is a wait that is over when it is over: others may do something meanwhile, or
/// nothing. Whether it has rung.
pub(crate) fn nap(bell: &Receiver<()>, moment: Duration) -> bool {
    if course().is_none() {
        return bell.0.recv_timeout(moment).is_ok();
    }
    pass("has napped", Wish::Turn);
    bell.0.try_recv().is_ok()
}
