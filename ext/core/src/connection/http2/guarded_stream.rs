//! The guard between the socket and h2: see `http::guard::frames`. What it refuses, h2 does not get: the connection's task sees
//! the reason, and tells the client.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::now;
use crate::{http::guard::frames::Frames, stats::flood::Flood};

/// What the client was found to flood the server with.
pub(super) type Found = Arc<OnceLock<Flood>>;

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
            // The first is what counts.
            let _ = self.found.set(flood);
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
        if let Err(flood) = this.frames.received(&buf.filled()[before..], now()) {
            let _ = this.found.set(flood);
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
