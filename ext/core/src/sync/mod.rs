//! What threads share: locks, channels and bells. In this crate's own tests they come from `sync::interleave`,
//! which can stop a thread at each of them and let another go first.

pub(crate) mod bell;
pub(crate) mod inline_task;
pub(crate) mod latch;
pub(crate) mod wake;

#[cfg(not(test))]
pub(crate) use crossbeam_channel::{Receiver, Sender, bounded};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(not(test))]
pub(crate) use crate::sync::bell::Bell;

#[cfg(test)]
pub(crate) use crate::sync::interleave::primitives::{Bell, Mutex, MutexGuard, Receiver, Sender, bounded};

#[cfg(test)]
pub(crate) mod interleave;

/// The time, as the runtime has it: tests stop it. Everything timed goes by it.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
