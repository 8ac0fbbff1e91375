//! The guard between the socket and h2: see `http::guard::frames`. What it refuses, h2 does not get: the connection's task sees
//! the reason, and tells the client.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::now;
use crate::http::guard::frames::{Fault, Frames};

/// How many frames h2 gets before other connections have their turn: about a millisecond's work.
const FRAMES_A_TURN: u64 = 1000;

/// What the guard has found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found(Arc<Findings>);

#[derive(Debug, Default)]
struct Findings {
    fault: OnceLock<Fault>,
    /// Frames that h2 got in this turn of the connection's task.
    turn: AtomicU64,
    /// Since when the head of a request has been arriving.
    head_since: Mutex<Option<Instant>>,
}

impl Found {
    /// Why h2 gets nothing more.
    pub(super) fn get(&self) -> Option<&Fault> {
        self.0.fault.get()
    }

    /// Since when the head of a request has been arriving, if one is.
    pub(super) fn head_since(&self) -> Option<Instant> {
        *self.head()
    }

    /// The connection's task is polled again: others have had their turn.
    pub(super) fn begin_turn(&self) {
        self.0.turn.store(0, Relaxed);
    }

    fn count(&self, frames: u64) {
        self.0.turn.fetch_add(frames, Relaxed);
    }

    fn turn_is_over(&self) -> bool {
        self.0.turn.load(Relaxed) >= FRAMES_A_TURN
    }

    fn head(&self) -> MutexGuard<'_, Option<Instant>> {
        // No code that can panic runs under this lock.
        self.0.head_since.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn set(&self, fault: Fault) {
        // The first is what counts.
        let _ = self.0.fault.set(fault);
    }
}

/// What the client is told then.
pub(super) fn reason(fault: Fault) -> Reason {
    match fault {
        Fault::Flood(_) => Reason::ENHANCE_YOUR_CALM,
        Fault::FrameSize => Reason::FRAME_SIZE_ERROR,
        Fault::NoSettings => Reason::PROTOCOL_ERROR,
    }
}

/// Has the task polled again once the runtime has looked for what is there for other tasks. It would look at that only once in many polls
/// of a task that wakes itself, and a client that keeps its connection busy would hold up all others for as long.
pub(super) fn let_others<T>(cx: &mut Context<'_>) -> Poll<T> {
    // The first poll of this is never ready.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

/// A stream whose frames go through the guard.
#[derive(Debug)]
pub(super) struct GuardedStream<T> {
    stream: T,
    frames: Frames,
    found: Found,
}

impl<T> GuardedStream<T> {
    /// `found` is where the guard leaves what it finds.
    pub(super) fn new(stream: T, found: Found) -> Self {
        Self { stream, frames: Frames::new(now()), found }
    }

    fn written(&mut self, bytes: &[u8]) {
        if let Err(flood) = self.frames.sent(bytes, now()) {
            self.found.set(Fault::Flood(flood));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for GuardedStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.found.get().is_some() {
            return Poll::Pending;
        }
        if this.found.turn_is_over() {
            return let_others(cx);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let (had_head, seen) = (this.frames.head_since(), this.frames.seen());
        let received = this.frames.received(&buf.filled()[before..], now());
        this.found.count(this.frames.seen() - seen);
        let head_since = this.frames.head_since();
        if head_since != had_head {
            *this.found.head() = head_since;
        }
        if let Err(fault) = received {
            this.found.set(fault);
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for GuardedStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        this.written(&buf[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs))?;
        let mut left = length;
        for buf in bufs {
            let taken = left.min(buf.len());
            this.written(&buf[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Cursor, task::Waker};

    /// How much h2 gets of `bytes` in one turn of the connection's task, and in each after it.
    fn turns(bytes: Vec<u8>) -> Vec<usize> {
        let length = bytes.len();
        let found = Found::default();
        let mut stream = GuardedStream::new(Cursor::new(bytes), found.clone());
        let (mut turns, mut got) = (Vec::new(), 0);
        while got < length {
            found.begin_turn();
            let before = got;
            let mut space = vec![0; 8192];
            loop {
                let mut buf = ReadBuf::new(&mut space);
                let polled = Pin::new(&mut stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
                if polled.is_pending() || buf.filled().is_empty() {
                    break;
                }
                got += buf.filled().len();
            }
            assert!(found.get().is_none() && got > before, "{:?} after {got} bytes", found.get());
            turns.push(got - before);
        }
        turns
    }

    fn beginning() -> Vec<u8> {
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()
    }

    /// One client with frames of a byte each would have the I/O thread to itself for as long as it sends.
    #[test]
    fn a_client_with_small_frames_lets_others_have_their_turn() {
        let small = [0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'].repeat(10_000);
        let turns = turns([beginning(), small].concat());
        assert!(turns.iter().all(|bytes| *bytes <= 2 * 8192), "{turns:?}");
        assert!(turns.len() >= 100_000 / (2 * 8192), "{turns:?}");
    }

    #[test]
    fn a_client_with_large_frames_needs_one_turn() {
        let large = [&[0, 0x40, 0, 0, 0, 0, 0, 0, 1][..], &[0; 16_384]].concat().repeat(100);
        assert_eq!(turns([beginning(), large].concat()).len(), 1);
    }
}
