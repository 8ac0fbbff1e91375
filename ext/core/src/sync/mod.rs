//! How threads meet: locks, parkers, latches, and tasks that two threads may run. In this crate's own tests the lock and the parker
//! stop at each use, and `sync::interleave` lets another thread go first.

pub(crate) mod inline_task;
pub(crate) mod latch;
pub(crate) mod parker;

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

/// Has the runtime look at its sockets before the task goes on. A process that has stood still for longer than a time limit hears of
/// its timers first, and of what has come meanwhile only then: who ends something for want of bytes asks again after this.
pub(crate) async fn look_at_sockets() {
    // What has come may pass through several hands, in one turn of the runtime each, until it is where it is waited for.
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}
