//! The queue's lock while it is held, and whoever is called under it.

use std::ops::{Deref, DerefMut};

use super::Crew;
use crate::sync::{MutexGuard, wake::Unparker};

/// The crew, locked. Who was called meanwhile is woken after the lock is free: a worker needs it first of all, and where it
/// runs on the same core it would else only come to wait for it.
#[derive(Debug)]
pub(super) struct QueueGuard<'a> {
    crew: MutexGuard<'a, Crew>,
    /// Behind the lock, because fields are dropped in this order.
    called: Called,
}

/// Whom to wake.
#[derive(Debug)]
struct Called(Option<Unparker>);

impl<'a> QueueGuard<'a> {
    pub(super) fn new(crew: MutexGuard<'a, Crew>) -> Self {
        Self { crew, called: Called(None) }
    }
}

impl Deref for QueueGuard<'_> {
    type Target = Crew;

    fn deref(&self) -> &Crew {
        &self.crew
    }
}

impl DerefMut for QueueGuard<'_> {
    fn deref_mut(&mut self) -> &mut Crew {
        &mut self.crew
    }
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.called.0 = self.crew.called.take();
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        if let Some(unparker) = &self.0 {
            unparker.unpark();
        }
    }
}
