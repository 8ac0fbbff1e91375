//! A socket as hyper reads and writes it, reporting what happens to the connection's [`Activity`].

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::activity::Activity;
use crate::{interim::Interim, sys, takeover::Family};

/// Bytes read at a time where hyper does not read: most heads fit.
const SCRATCH: usize = 4096;

/// A stream of bytes, with the questions that only a socket can answer.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Bytes received that nobody has read; 0 where the system cannot tell.
    fn unread(&self) -> usize;

    /// Bytes written that the peer's kernel has not confirmed; 0 where the system cannot tell.
    fn unsent(&self) -> usize;

    /// Makes closing tell the peer that the stream was cut, if the protocol has a way.
    fn reset_on_close(&self);

    /// The socket itself, for the app; one that has none is given back.
    fn release(self) -> io::Result<Released<Self>>
    where
        Self: Sized;
}

/// A socket that the app is to have.
pub(crate) enum Released<S> {
    Descriptor(OwnedFd, Family),
    /// Its bytes have to be passed on.
    Stream(S),
}

impl Socket for TcpStream {
    fn unread(&self) -> usize {
        sys::unread_bytes(self.as_fd()).unwrap_or(0)
    }

    fn unsent(&self) -> usize {
        sys::unsent_bytes(self.as_fd()).unwrap_or(0)
    }

    fn reset_on_close(&self) {
        // The worst that follows is a plain close.
        let _ = self.set_zero_linger();
    }

    fn release(self) -> io::Result<Released<Self>> {
        self.into_std().map(|socket| Released::Descriptor(socket.into(), Family::Tcp))
    }
}

impl Socket for UnixStream {
    fn unread(&self) -> usize {
        sys::unread_bytes(self.as_fd()).unwrap_or(0)
    }

    /// What is written to a Unix socket is the peer's already.
    fn unsent(&self) -> usize {
        0
    }

    fn reset_on_close(&self) {}

    fn release(self) -> io::Result<Released<Self>> {
        self.into_std().map(|socket| Released::Descriptor(socket.into(), Family::Unix))
    }
}

/// A socket whose every event is reported.
#[derive(Debug)]
pub(super) struct Watched<S> {
    socket: S,
    /// Bytes read before, to be read again first.
    put_back: Bytes,
    activity: Arc<Activity>,
    interim: Arc<Interim>,
    /// What of the interim responses is being written.
    ahead: Bytes,
    /// hyper has had nothing to write since it last flushed, so that no message is half written.
    between_messages: bool,
}

impl<S: Socket> Watched<S> {
    pub(super) fn new(socket: S, activity: Arc<Activity>, interim: Arc<Interim>) -> Self {
        Self { socket, put_back: Bytes::new(), activity, interim, ahead: Bytes::new(), between_messages: true }
    }

    /// The socket itself, unless something was read from it that the app has to get first.
    pub(super) fn try_release(self) -> io::Result<Released<Self>> {
        if !self.put_back.is_empty() {
            return Ok(Released::Stream(self));
        }
        let Self { socket, put_back, activity, interim, ahead, between_messages } = self;
        Ok(match socket.release()? {
            Released::Descriptor(descriptor, family) => Released::Descriptor(descriptor, family),
            Released::Stream(socket) => {
                Released::Stream(Self { socket, put_back, activity, interim, ahead, between_messages })
            }
        })
    }

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    /// Whether anything came in that was not served: in the buffer given, in our own, in the kernel's.
    pub(super) fn holds_unread(&self, buffered: &[u8]) -> bool {
        !buffered.is_empty() || !self.put_back.is_empty() || self.socket.unread() > 0
    }

    /// Lets `bytes`, which were read last, be read again.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        // No bytes at all may still hold on to a whole buffer.
        if bytes.is_empty() {
            return;
        }
        if self.put_back.is_empty() {
            self.put_back = bytes;
        } else {
            self.put_back = [bytes, std::mem::take(&mut self.put_back)].concat().into();
        }
    }

    /// Writes a last message past hyper.
    pub(super) async fn write_last(&mut self, message: &[u8]) -> io::Result<()> {
        self.socket.write_all(message).await
    }

    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        self.socket.shutdown().await
    }

    /// Reads and forgets until the peer ends or fails.
    pub(super) async fn discard_input(&mut self) {
        while matches!(poll_fn(|cx| read_some(&mut self.socket, cx, |some| some.len())).await, Ok(length) if length > 0)
        {
        }
    }

    /// Waits for the next bytes; none at the end. Holds no buffer while it waits.
    pub(super) async fn next_bytes(&mut self) -> io::Result<Bytes> {
        poll_fn(|cx| read_some(self, cx, Bytes::copy_from_slice)).await
    }

    /// Writes what goes ahead of hyper's next bytes.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.between_messages && self.ahead.is_empty() && self.interim.is_pending() {
            self.ahead = self.interim.before_write();
        }
        while !self.ahead.is_empty() {
            let written = Pin::new(&mut self.socket).poll_write(cx, &self.ahead);
            let length = ready!(self.report_write(written))?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.ahead.advance(length);
        }
        Poll::Ready(Ok(()))
    }

    fn report_write(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Pending => self.activity.write_blocked(|| self.socket.unsent()),
            Poll::Ready(written) => self.activity.bytes_written(*written.as_ref().unwrap_or(&0)),
        }
        result
    }
}

/// Reads what is there, into a buffer that lives no longer than the call.
fn read_some<T>(
    socket: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    let mut scratch = [MaybeUninit::uninit(); SCRATCH];
    let mut buf = ReadBuf::uninit(&mut scratch);
    ready!(Pin::new(socket).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(take(buf.filled())))
}

impl<S: Socket> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if this.put_back.is_empty() {
            ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        } else {
            let length = this.put_back.len().min(buf.remaining());
            buf.put_slice(&this.put_back.split_to(length));
        }
        if buf.filled().len() > before {
            this.activity.bytes_read()
        } else {
            this.activity.end_of_input()
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_ahead(cx))?;
        this.between_messages = false;
        let result = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.report_write(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_ahead(cx))?;
        this.between_messages = false;
        let result = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.report_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes the socket when its own buffer is empty.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.between_messages && this.interim.is_pending() {
            this.ahead = this.interim.after_flush();
        }
        this.between_messages = true;
        ready!(this.poll_ahead(cx))?;
        ready!(Pin::new(&mut this.socket).poll_flush(cx))?;
        this.activity.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// In-memory connections of the wire tests.
#[cfg(test)]
impl Socket for tokio::io::DuplexStream {
    fn unread(&self) -> usize {
        0
    }

    fn unsent(&self) -> usize {
        0
    }

    fn reset_on_close(&self) {}

    fn release(self) -> io::Result<Released<Self>> {
        Ok(Released::Stream(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

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
    #[tokio::test]
    async fn nothing_put_back_holds_no_buffer() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut socket = Watched::new(ours, Arc::new(Activity::new(now())), Arc::default());
        let held = Arc::new(());
        socket.put_back(Bytes::from_owner(Buffer { _held: held.clone() }));
        assert_eq!(Arc::strong_count(&held), 1);
        socket.put_back("GET".into());
        socket.put_back(Bytes::from_owner(Buffer { _held: held.clone() }));
        assert_eq!((Arc::strong_count(&held), socket.next_bytes().await.unwrap()), (1, Bytes::from("GET")));
    }
}
