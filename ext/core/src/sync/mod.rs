//! How threads meet: locks, parkers, latches, and tasks that two threads may run; and how a task meets its time limit. In this crate's
//! own tests the lock and the parker stop at each use, and `sync::interleave` lets another thread go first.

pub(crate) mod inline_task;
pub(crate) mod latch;
pub(crate) mod parker;
pub(crate) mod sockets;

#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(test)]
pub(crate) use crate::sync::interleave::primitives::{Mutex, MutexGuard};

pub use self::parker::{Parker, Unparker};

#[cfg(test)]
pub(crate) mod interleave;

/// The time, as the runtime has it: tests stop it. Everything timed goes by it.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
