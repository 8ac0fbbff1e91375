//! What has come in on a connection and hyper has not got: bytes that have passed the guard, and behind them bytes that have not.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::{stage::Interruption, state::ConnectionState};
use crate::http::guard::{Guard, HeadLimits, Preface, Whole, request_line};

/// How many header fields hyper has room for without asking for memory.
pub(super) const USUAL_FIELDS: usize = 100;

/// The bytes between a socket and hyper, with the guard that they pass.
#[derive(Debug)]
pub(super) struct Inbound {
    /// Bytes for hyper, or for the app once the guard is lifted.
    passed: Bytes,
    /// Bytes that came behind those and have not passed the guard.
    held: BytesMut,
    guard: Guard,
    /// How many fields hyper has room for, and how many the last head had.
    room: usize,
    needed: usize,
    /// The guard has refused what is held.
    refused: bool,
    /// hyper was told that there is nothing, because what is held has to wait for the exchange under way.
    waits: bool,
    /// What comes first may be HTTP/2.
    expects_preface: bool,
    /// It was HTTP/2: hyper is not to get it.
    is_http2: bool,
}

impl Inbound {
    /// `expects_preface`: HTTP/2 is let through, where the client begins with it.
    pub(super) fn new(limits: HeadLimits, expects_preface: bool) -> Self {
        Self {
            passed: Bytes::new(),
            held: BytesMut::new(),
            guard: Guard::new(limits),
            room: USUAL_FIELDS,
            needed: 0,
            refused: false,
            waits: false,
            expects_preface,
            is_http2: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.passed.is_empty() && self.held.is_empty()
    }

    /// Whether hyper gets nothing more: the connection's task looks for why, and goes on with another hyper connection or with none.
    pub(super) fn is_closed(&self) -> bool {
        self.refused || self.needed > self.room || self.is_http2
    }

    /// Whether bytes are held that may not pass for now.
    pub(super) fn is_held_back(&self) -> bool {
        self.refused || self.waits || self.is_http2
    }

    /// Whether the next byte that comes is the first of a head.
    pub(super) fn is_between_messages(&self) -> bool {
        self.is_empty() && self.guard.expects_head()
    }

    /// All that came and did not pass, where that is the beginning of a message.
    pub(super) fn unserved(&self) -> Option<&[u8]> {
        (self.passed.is_empty() && self.guard.expects_head()).then_some(&self.held)
    }

    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// hyper is asked to read again.
    pub(super) fn waits_no_more(&mut self) {
        self.waits = false;
    }

    /// Lets everything pass from now on, as it came.
    pub(super) fn lift_guard(&mut self) {
        self.guard.lift();
        (self.needed, self.waits, self.is_http2) = (0, false, false);
        let held = std::mem::take(&mut self.held).freeze();
        self.passed = join(std::mem::take(&mut self.passed), held);
    }

    /// How many fields hyper is to have room for; a head that needs more than the usual number comes next.
    pub(super) fn make_room(&mut self, limit: usize) -> usize {
        self.room = if self.needed > USUAL_FIELDS { limit } else { USUAL_FIELDS };
        self.room
    }

    /// The first line of what came and did not pass, as far as it is there.
    pub(super) fn refused_line(&self) -> Option<&[u8]> {
        request_line(&self.held)
    }

    /// Lets `bytes`, which hyper read last, be read again.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.passed = join(bytes, std::mem::take(&mut self.passed));
    }

    /// Takes bytes that the guard has to look at.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Takes the bytes in `buf` from `before` on, which came last, out of it again.
    pub(super) fn withhold(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        self.hold(&buf.filled()[before..]);
        buf.set_filled(before);
    }

    /// Puts bytes that have passed into `buf`. Returns whether there were any.
    pub(super) fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        if self.passed.is_empty() {
            return false;
        }
        let length = self.passed.len().min(buf.remaining());
        buf.put_slice(&self.passed.split_to(length));
        if self.passed.is_empty() {
            self.passed = Bytes::new();
        }
        true
    }

    /// Lets the guard look at the bytes that come next. They wait where `exchanging` says that a request is under way.
    fn examine(&mut self, bytes: &[u8], exchanging: bool, state: &ConnectionState) -> io::Result<Step> {
        if !self.guard.expects_head() {
            let length = self.guard.body(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            return Ok(Step::Pass(length));
        }
        self.waits = exchanging;
        if exchanging {
            return Ok(Step::Hold);
        }
        if self.expects_preface {
            match Preface::of(bytes) {
                Preface::Whole => {
                    self.is_http2 = true;
                    state.interrupt(Interruption::Http2);
                    return Ok(Step::Hold);
                }
                Preface::Begun => return Ok(Step::Hold),
                Preface::No => self.expects_preface = false,
            }
        }
        let whole = match self.guard.head(bytes) {
            Ok(Some(whole)) => whole,
            Ok(None) => return Ok(Step::Hold),
            Err(reason) => {
                self.refused = true;
                state.interrupt(Interruption::Refused(reason));
                return Ok(Step::Hold);
            }
        };
        let Whole { length, fields, rewritten, .. } = whole;
        let many_fields = fields > self.room;
        self.needed = fields;
        if many_fields {
            state.interrupt(Interruption::ManyFields);
        }
        match rewritten {
            Some(rewritten) => {
                if let Some(target) = rewritten.target {
                    state.target_rewritten(target);
                }
                self.passed = rewritten.head;
                Ok(Step::Replace(length))
            }
            None if many_fields => {
                self.passed = Bytes::copy_from_slice(&bytes[..length]);
                Ok(Step::Replace(length))
            }
            None => Ok(Step::Pass(length)),
        }
    }

    /// Passes to hyper what of the bytes held may pass now. Returns whether that was any.
    pub(super) fn pass_held(&mut self, state: &ConnectionState) -> io::Result<bool> {
        let exchanging = state.bytes_read();
        let mut held = std::mem::take(&mut self.held);
        let step = self.examine(&held, exchanging, state)?;
        match step {
            Step::Pass(length) => self.passed = held.split_to(length).freeze(),
            Step::Replace(length) => held.advance(length),
            Step::Hold => {}
        }
        // An empty `Bytes` may keep a whole buffer alive.
        if !held.is_empty() {
            self.held = held;
        }
        Ok(step != Step::Hold)
    }

    /// Takes the bytes in `buf` from `before` on, which came last, out of it again but for those that may pass now.
    pub(super) fn sift(&mut self, buf: &mut ReadBuf<'_>, before: usize, state: &ConnectionState) -> io::Result<()> {
        let exchanging = state.bytes_read();
        let new = &buf.filled()[before..];
        let step = if self.held.is_empty() { self.examine(new, exchanging, state)? } else { Step::Hold };
        let (passing, gone) = match step {
            Step::Pass(length) => (length, length),
            Step::Replace(length) => (0, length),
            Step::Hold => (0, 0),
        };
        self.held.extend_from_slice(&new[gone..]);
        buf.set_filled(before + passing);
        Ok(())
    }
}

/// What becomes of the bytes that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// So many of them pass as they are.
    Pass(usize),
    /// In the place of so many, hyper gets what has been put where it reads next.
    Replace(usize),
    /// None of them passes now.
    Hold,
}

fn join(first: Bytes, second: Bytes) -> Bytes {
    // An empty `Bytes` may keep a whole buffer alive.
    match (first.is_empty(), second.is_empty()) {
        (true, true) => Bytes::new(),
        (true, false) => second,
        (false, true) => first,
        (false, false) => [first, second].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// An allocation of which nothing is read, and that tells when it is let go of.
    struct Buffer {
        _held: Arc<()>,
    }

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            &[]
        }
    }

    /// Each resting connection held the 8 KiB that hyper had read its last request into.
    #[test]
    fn nothing_put_back_holds_no_buffer() {
        let mut inbound = Inbound::new(HeadLimits { bytes: 1024, fields: 10 }, false);
        let held = Arc::new(());
        inbound.put_back(Bytes::from_owner(Buffer { _held: held.clone() }));
        assert_eq!(Arc::strong_count(&held), 1);
        inbound.put_back("GET".into());
        inbound.put_back(Bytes::from_owner(Buffer { _held: held.clone() }));
        assert_eq!((Arc::strong_count(&held), inbound.passed), (1, Bytes::from("GET")));
    }
}
