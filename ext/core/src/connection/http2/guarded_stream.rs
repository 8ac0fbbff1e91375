//! The guard between the socket and h2: see `http::guard::frames`. What it refuses, h2 does not get: the connection's task sees
//! the reason, and tells the client.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::now;
use crate::http::guard::frames::{Fault, Frames};

/// What the guard has found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found(Arc<Findings>);

#[derive(Debug, Default)]
struct Findings {
    fault: OnceLock<Fault>,
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
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let had_head = this.frames.head_since();
        let received = this.frames.received(&buf.filled()[before..], now());
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
