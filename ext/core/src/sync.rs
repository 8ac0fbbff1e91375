//! What threads share: locks and channels. In this crate's own tests they come from [`interleave`](crate::interleave),
//! which can stop a thread at each of them and let another go first.

#[cfg(not(test))]
pub(crate) use crossbeam_channel::{Receiver, Sender, bounded};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(test)]
pub(crate) use crate::interleave::shared::{Mutex, MutexGuard, Receiver, Sender, bounded, nap};

/// Waits for a bell for a moment only; whether it has rung.
#[cfg(not(test))]
pub(crate) fn nap(bell: &Receiver<()>, moment: std::time::Duration) -> bool {
    bell.recv_timeout(moment).is_ok()
}
