//! A socket as hyper reads and writes it: what comes in goes through the guard, and what happens is reported to the connection's
//! [`ConnectionState`]. hyper gets one message at a time; what comes behind it waits here, because the app may hijack it.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{
    inbound::Inbound,
    siblings::Siblings,
    socket::{Released, Socket},
    stage::Interruption,
    state::ConnectionState,
};
use crate::{
    cluster::handover::{MAX_READ_AHEAD, Traits},
    exchange::interim::Interim,
    http::guard::HeadLimits,
};

/// Bytes read at a time where hyper does not read: most heads fit.
const SCRATCH: usize = 4096;

/// A socket that reports what happens to it.
#[derive(Debug)]
pub(super) struct TrackedSocket<S> {
    socket: S,
    inbound: Inbound,
    state: Arc<ConnectionState>,
    interim: Arc<Interim>,
    /// The other workers, in a cluster.
    siblings: Option<Arc<Siblings>>,
    /// It has come from a sibling for the request that comes next, which is served here whatever happens.
    stays: bool,
    /// Interim responses that are being written ahead of hyper's bytes.
    ahead: Bytes,
    /// hyper has had nothing to write since it last flushed, so that no message is half written.
    between_messages: bool,
}

impl<S: Socket> TrackedSocket<S> {
    pub(super) fn new(
        socket: S,
        limits: HeadLimits,
        state: Arc<ConnectionState>,
        interim: Arc<Interim>,
        siblings: Option<Arc<Siblings>>,
        expects_preface: bool,
    ) -> Self {
        let (inbound, ahead) = (Inbound::new(limits, expects_preface), Bytes::new());
        Self { socket, inbound, state, interim, siblings, stays: false, ahead, between_messages: true }
    }

    /// A sibling has sent it, with what it had read.
    pub(super) fn taken_over(&mut self, traits: Traits, read_ahead: &[u8]) {
        // A head that has begun is not looked at for this again.
        self.stays = traits.for_request && read_ahead.is_empty();
        self.inbound.hold(read_ahead);
    }

    /// A sibling that would serve sooner what comes in `bytes`, which are the first of a request. Only for a whole head: a client
    /// that is slow to send one does not keep a sibling from work. A sibling that is named expects the connection.
    fn better_place(&self, bytes: &[u8]) -> Option<usize> {
        let siblings = self.siblings.as_ref()?;
        if bytes.len() > MAX_READ_AHEAD || self.socket.descriptor().is_none() {
            return None;
        }
        memmem::find(bytes, b"\r\n\r\n")?;
        siblings.better_one()
    }

    /// Whether what comes next is the first of a request that may go to a sibling, and would wait here.
    fn may_go_elsewhere(&mut self) -> bool {
        match &self.siblings {
            None => false,
            Some(_) if self.inbound.is_between_messages() && self.stays => {
                // Until its next request.
                self.stays = self.state.is_exchanging();
                false
            }
            Some(siblings) => {
                siblings.would_help() && self.inbound.is_between_messages() && !self.state.is_exchanging()
            }
        }
    }

    /// The same as [`better_place`](Self::better_place), for what [`await_bytes`](Self::await_bytes) has brought.
    pub(super) fn better_place_at_rest(&mut self) -> Option<usize> {
        if std::mem::take(&mut self.stays) || !self.siblings.as_ref()?.would_help() {
            return None;
        }
        self.better_place(self.inbound.unserved()?)
    }

    /// Sends the connection to a sibling, where nothing of it is in flight: to the one in this slot, or to the first that takes it.
    /// Returns whether it has gone; then this end of it is to be dropped.
    pub(super) fn hand_over(&self, sibling: Option<usize>, traits: Traits) -> bool {
        let (Some(siblings), Some(read_ahead), Some(socket)) =
            (&self.siblings, self.inbound.unserved(), self.socket.descriptor())
        else {
            return false;
        };
        let traits = Traits { for_request: sibling.is_some(), ..traits };
        match sibling {
            Some(sibling) => siblings.send(sibling, socket, traits, read_ahead).is_ok(),
            None => siblings.give_away(socket, traits, read_ahead),
        }
    }

    /// Whether a sibling could have the connection.
    pub(super) fn can_move(&self) -> bool {
        self.siblings.is_some() && self.socket.descriptor().is_some()
    }

    /// The socket's descriptor, unless something was read from it that the app has to get first.
    pub(super) fn try_release(self) -> io::Result<Released<Self>> {
        if !self.inbound.is_empty() {
            return Ok(Released::Stream(self));
        }
        let Self { socket, inbound, state, interim, siblings, stays, ahead, between_messages } = self;
        Ok(match socket.release()? {
            Released::Descriptor(descriptor, family) => Released::Descriptor(descriptor, family),
            Released::Stream(socket) => {
                Released::Stream(Self { socket, inbound, state, interim, siblings, stays, ahead, between_messages })
            }
        })
    }

    pub(super) fn inbound(&self) -> &Inbound {
        &self.inbound
    }

    pub(super) fn inbound_mut(&mut self) -> &mut Inbound {
        &mut self.inbound
    }

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    /// Whether anything came in that was not served: in the buffer given, in [`Inbound`], or in the kernel.
    pub(super) fn holds_unread(&self, buffered: &[u8]) -> bool {
        !buffered.is_empty() || !self.inbound.is_empty() || self.socket.unread() > 0
    }

    /// Writes a last message past hyper.
    pub(super) async fn write_last(&mut self, message: &[u8]) -> io::Result<()> {
        self.socket.write_all(message).await?;
        self.socket.flush().await
    }

    /// Has all that was written go out.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().await
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

    /// Waits until bytes have come, which hyper will get; false at the end. Holds no buffer while it waits.
    pub(super) async fn await_bytes(&mut self) -> io::Result<bool> {
        let Self { socket, inbound, state, .. } = self;
        let length = poll_fn(|cx| {
            read_some(socket, cx, |some| {
                inbound.hold(some);
                some.len()
            })
        })
        .await?;
        if length > 0 {
            state.bytes_read();
        } else {
            state.end_of_input();
        }
        Ok(length > 0)
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
            Poll::Pending => self.state.write_blocked(|| self.socket.unsent() + self.socket.held_back()),
            Poll::Ready(written) => self.state.bytes_written(*written.as_ref().unwrap_or(&0)),
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

impl<S: Socket> AsyncRead for TrackedSocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.inbound.is_closed() {
                return Poll::Pending;
            }
            if this.inbound.give(buf) {
                this.state.bytes_read();
                return Poll::Ready(Ok(()));
            }
            if this.inbound.has_held() {
                if this.inbound.pass_held(&this.state)? {
                    continue;
                }
                if this.inbound.is_held_back() {
                    return Poll::Pending;
                }
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                this.state.end_of_input();
                return Poll::Ready(Ok(()));
            }
            if this.may_go_elsewhere()
                && let Some(sibling) = this.better_place(&buf.filled()[before..])
            {
                this.inbound.withhold(buf, before);
                this.state.bytes_read();
                this.state.interrupt(Interruption::Elsewhere(sibling));
                return Poll::Pending;
            }
            this.inbound.sift(buf, before, &this.state)?;
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: Socket> AsyncWrite for TrackedSocket<S> {
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
        let flushed = Pin::new(&mut this.socket).poll_flush(cx);
        if flushed.is_pending() {
            // What TLS has encrypted waits for the client, and no write comes behind it.
            this.state.write_blocked(|| this.socket.unsent() + this.socket.held_back());
        }
        ready!(flushed)?;
        this.state.flushed();
        if this.inbound.waits() && !this.state.is_exchanging() {
            // hyper was told that there is nothing to read, and would not ask again.
            this.inbound.waits_no_more();
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
