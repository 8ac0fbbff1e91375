//! The pool's lock while it is held, and the worker that is called under it.

use std::ops::{Deref, DerefMut};

use super::PoolState;
use crate::{
    cluster::Member,
    sync::{MutexGuard, Unparker},
};

/// The pool's state, locked. A worker that is called meanwhile is woken after the lock is released: the worker needs the lock
/// first of all, and where it runs on the same core it would otherwise only wake to wait for it.
#[derive(Debug)]
pub(super) struct QueueGuard<'a> {
    state: MutexGuard<'a, PoolState>,
    /// Where siblings are told what has changed, under the lock.
    member: Option<&'a Member>,
    /// Declared after the lock, because fields are dropped in this order.
    called: Called,
}

/// The worker to wake.
#[derive(Debug)]
struct Called(Option<Unparker>);

impl<'a> QueueGuard<'a> {
    pub(super) fn new(state: MutexGuard<'a, PoolState>, member: Option<&'a Member>) -> Self {
        Self { state, member, called: Called(None) }
    }
}

impl Deref for QueueGuard<'_> {
    type Target = PoolState;

    fn deref(&self) -> &PoolState {
        &self.state
    }
}

impl DerefMut for QueueGuard<'_> {
    fn deref_mut(&mut self) -> &mut PoolState {
        &mut self.state
    }
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.called.0 = self.state.roster.take_called();
        if let Some(member) = self.member {
            self.state.publish(member);
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        if let Some(unparker) = &self.0 {
            unparker.unpark();
        }
    }
}
