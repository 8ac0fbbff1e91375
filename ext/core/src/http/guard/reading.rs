//! A guard that reads bytes, for its tests and for `fuzz`.

// What goes wrong in a check fails the test.
#![allow(clippy::unwrap_used)]

use super::{Framing, Guard, HeadLimits, RawTarget};
use crate::stats::refused::Refused;

/// What came of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// As hyper gets it.
    pub(crate) head: Vec<u8>,
    pub(crate) target: Option<RawTarget>,
    /// With its framing.
    pub(crate) body: Vec<u8>,
    pub(crate) whole: bool,
}

/// Has a guard read `bytes`, `step` at a time, as the socket does; what passed, and how it ended.
pub(crate) fn read(bytes: &[u8], limits: HeadLimits, step: usize) -> (Vec<Message>, Option<Refused>) {
    let mut guard = Guard::new(limits);
    let mut messages: Vec<Message> = Vec::new();
    let (mut from, mut to) = (0, 0);
    loop {
        if guard.expects_head() {
            match guard.head(&bytes[from..to]) {
                Err(reason) => return (messages, Some(reason)),
                Ok(Some(whole)) => {
                    let head = bytes[from..from + whole.length].to_vec();
                    from += whole.length;
                    let (head, target) = match whole.rewritten {
                        Some(rewritten) => (rewritten.head.to_vec(), rewritten.target),
                        None => (head, None),
                    };
                    messages.push(Message { head, target, body: Vec::new(), whole: whole.body == Framing::None });
                    continue;
                }
                Ok(None) => {}
            }
        } else if from < to {
            match guard.body(&bytes[from..to]) {
                Err(reason) => return (messages, Some(reason)),
                Ok(length) => {
                    let message = messages.last_mut().unwrap();
                    message.body.extend_from_slice(&bytes[from..from + length]);
                    message.whole = guard.expects_head();
                    from += length;
                    continue;
                }
            }
        }
        if to == bytes.len() {
            return (messages, None);
        }
        to = (to + step).min(bytes.len());
    }
}
