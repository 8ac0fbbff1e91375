//! What threads share: locks, channels and bells. In this crate's own tests they come from [`interleave`](crate::interleave),
//! which can stop a thread at each of them and let another go first.

#[cfg(not(test))]
pub(crate) use crossbeam_channel::{Receiver, Sender, bounded};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(not(test))]
pub(crate) use crate::bell::Bell;

#[cfg(test)]
pub(crate) use crate::interleave::shared::{Bell, Mutex, MutexGuard, Receiver, Sender, bounded};
