//! What the streams of a connection have given to be sent and the socket has not taken. All streams together may give only so much
//! ahead of the socket; each learns how far its own bytes are.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    task::Waker,
};

use bytes::{Buf, Bytes};

use super::super::state::ConnectionState;

/// How many bytes of all streams may be ahead of the socket.
const AHEAD: usize = 256 * 1024;
/// How many a stream may always give that has given none: a small response waits for no large one.
const FIRST: usize = 4 * 1024;
/// How many a stream gives at a time, so that streams take turns.
pub(super) const PIECE: usize = 32 * 1024;

/// The room of all streams of a connection.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<Ahead>);

#[derive(Debug, Default)]
struct Ahead {
    bytes: usize,
    /// The streams that wait for room.
    waiting: VecDeque<Waker>,
}

impl Room {
    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How much of `wanted` there is room for; where there is none, `waker` is woken later.
    fn take(&self, wanted: usize, is_first: bool, waker: &Waker) -> usize {
        let mut ahead = self.ahead();
        let room = AHEAD.saturating_sub(ahead.bytes).max(if is_first { FIRST } else { 0 });
        let taken = wanted.min(PIECE).min(room);
        if taken == 0 {
            ahead.waiting.push_back(waker.clone());
        }
        ahead.bytes += taken;
        taken
    }

    fn give_back(&self, bytes: usize) {
        let mut ahead = self.ahead();
        ahead.bytes -= bytes;
        // Not for each frame: all that wait are woken.
        if ahead.bytes <= AHEAD / 2 && !ahead.waiting.is_empty() {
            let waiting = std::mem::take(&mut ahead.waiting);
            drop(ahead);
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

/// What a stream has given.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Arc<ConnectionState>,
    room: Arc<Room>,
    unwritten: AtomicUsize,
    /// The stream has more, which its window or the connection does not take.
    holds_more: AtomicBool,
}

impl Ledger {
    pub(super) fn new(state: Arc<ConnectionState>, room: Arc<Room>) -> Arc<Self> {
        Arc::new(Self { state, room, unwritten: AtomicUsize::new(0), holds_more: AtomicBool::new(false) })
    }

    /// Makes a piece of the beginning of `chunk`, of up to `window` bytes. `None` where there is no room; the stream's task is
    /// woken later.
    pub(super) fn piece(self: &Arc<Self>, chunk: &mut Bytes, window: usize, waker: &Waker) -> Option<Piece> {
        let is_first = self.unwritten.load(Acquire) == 0;
        let length = self.room.take(chunk.len().min(window), is_first, waker);
        if length == 0 {
            return None;
        }
        self.unwritten.fetch_add(length, AcqRel);
        Some(Piece { bytes: chunk.split_to(length), unwritten: length, ledger: Some(self.clone()) })
    }

    /// The stream has more, and can give none of it now.
    pub(super) fn is_stuck(&self) {
        self.holds_more.store(true, Release);
        self.state.write_blocked(|| 0);
    }

    /// The client's pace is checked, where it takes nothing more.
    pub(super) fn check(&self) {
        if self.is_unwritten() || self.holds_more.load(Acquire) {
            self.state.write_blocked(|| 0);
        }
    }

    /// It goes on.
    pub(super) fn goes_on(&self) {
        self.holds_more.store(false, Release);
    }

    /// The stream has given all that there is for now.
    pub(super) fn is_idle(&self) {
        if self.unwritten.load(Acquire) == 0 {
            self.state.flushed();
        }
    }

    /// How many bytes the socket has not taken.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.load(Acquire)
    }

    /// Whether the socket has not taken all yet.
    pub(super) fn is_unwritten(&self) -> bool {
        self.unwritten() > 0
    }

    /// The socket takes nothing more.
    pub(super) fn socket_blocked(&self) {
        if self.is_unwritten() {
            self.state.write_blocked(|| 0);
        }
    }

    fn wrote(&self, length: usize) {
        self.state.bytes_written(length);
        let all = self.unwritten.fetch_sub(length, AcqRel) == length;
        self.room.give_back(length);
        match (all, self.holds_more.load(Acquire)) {
            (true, true) => self.state.write_blocked(|| 0),
            (true, false) => self.state.flushed(),
            (false, _) => {}
        }
    }
}

/// Bytes on their way from a stream to the socket, which tell how far they are.
#[derive(Debug, Default)]
pub(super) struct Piece {
    bytes: Bytes,
    unwritten: usize,
    ledger: Option<Arc<Ledger>>,
}

impl Piece {
    /// Of a message of the server's own, which fits into any buffer.
    pub(super) fn of(bytes: Bytes) -> Self {
        Self { bytes, unwritten: 0, ledger: None }
    }

    fn wrote(&mut self, length: usize) {
        if length > 0
            && let Some(ledger) = &self.ledger
        {
            self.unwritten -= length;
            ledger.wrote(length);
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, length: usize) {
        self.bytes.advance(length);
        self.wrote(length);
    }
}

impl Drop for Piece {
    /// What was not written never will be.
    fn drop(&mut self) {
        self.wrote(self.unwritten);
    }
}
