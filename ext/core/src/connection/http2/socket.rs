//! The socket as h2 reads and writes it. h2 keeps what it was given: this gives the socket back when h2 is dropped, because how the
//! connection is closed is the server's to say.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    super::{Socket, tracked_socket::TrackedSocket},
    guarded_stream,
};

/// Reads within one poll of the task: a client that sends without a pause lets others have their turn.
const READS: u32 = 64;

/// Where the socket comes back to.
#[derive(Debug)]
pub(super) struct Home<S>(Arc<Mutex<Option<TrackedSocket<S>>>>);

impl<S> Home<S> {
    fn place(&self) -> MutexGuard<'_, Option<TrackedSocket<S>>> {
        // No code that can panic runs under this lock.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The socket, once h2 was dropped.
    pub(super) fn take(&self) -> Option<TrackedSocket<S>> {
        self.place().take()
    }
}

/// What h2 gets.
#[derive(Debug)]
pub(super) struct Lent<S> {
    /// `None` in `drop`.
    socket: Option<TrackedSocket<S>>,
    home: Home<S>,
    reads: u32,
}

/// Lends `socket` to h2.
pub(super) fn lend<S: Socket>(socket: TrackedSocket<S>) -> (Lent<S>, Home<S>) {
    let place = Arc::new(Mutex::new(None));
    (Lent { socket: Some(socket), home: Home(place.clone()), reads: 0 }, Home(place))
}

impl<S> Lent<S> {
    fn socket(&mut self) -> io::Result<&mut TrackedSocket<S>> {
        self.socket.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        *self.home.place() = self.socket.take();
    }
}

impl<S: Socket> AsyncRead for Lent<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.reads == READS {
            this.reads = 0;
            return guarded_stream::let_others(cx);
        }
        let polled = Pin::new(this.socket()?).poll_read(cx, buf);
        this.reads = if polled.is_pending() { 0 } else { this.reads + 1 };
        polled
    }
}

impl<S: Socket> AsyncWrite for Lent<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().socket()?).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().socket()?).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().socket()?).poll_flush(cx)
    }

    /// h2 has written all: the rest is the server's.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }
}
