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

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{
    socket::{Released, Socket},
    state::{ConnectionState, Interruption},
};
use crate::{
    exchange::interim::Interim,
    http::guard::{Guard, HeadLimits, Whole, request_line},
};

/// Bytes read at a time where hyper does not read: most heads fit.
const SCRATCH: usize = 4096;

/// How many header fields hyper has room for without asking for memory.
pub(super) const USUAL_FIELDS: usize = 100;

/// A socket that reports what happens to it.
#[derive(Debug)]
pub(super) struct TrackedSocket<S> {
    socket: S,
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
    state: Arc<ConnectionState>,
    interim: Arc<Interim>,
    /// What of the interim responses is being written.
    ahead: Bytes,
    /// hyper has had nothing to write since it last flushed, so that no message is half written.
    between_messages: bool,
}

impl<S: Socket> TrackedSocket<S> {
    pub(super) fn new(socket: S, limits: HeadLimits, state: Arc<ConnectionState>, interim: Arc<Interim>) -> Self {
        Self {
            socket,
            passed: Bytes::new(),
            held: BytesMut::new(),
            guard: Guard::new(limits),
            room: USUAL_FIELDS,
            needed: 0,
            refused: false,
            waits: false,
            state,
            interim,
            ahead: Bytes::new(),
            between_messages: true,
        }
    }

    /// The socket itself, unless something was read from it that the app has to get first.
    pub(super) fn try_release(self) -> io::Result<Released<Self>> {
        if !self.passed.is_empty() || !self.held.is_empty() {
            return Ok(Released::Stream(self));
        }
        let Self { socket, passed, held, guard, state, interim, ahead, .. } = self;
        Ok(match socket.release()? {
            Released::Descriptor(descriptor, family) => Released::Descriptor(descriptor, family),
            Released::Stream(socket) => {
                let mut stream = Self::new(socket, HeadLimits { bytes: 0, fields: 0 }, state, interim);
                (stream.passed, stream.held, stream.guard, stream.ahead) = (passed, held, guard, ahead);
                Released::Stream(stream)
            }
        })
    }

    /// Lets everything pass from now on, as it came.
    pub(super) fn lift_guard(&mut self) {
        self.guard.lift();
        self.needed = 0;
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

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    /// Whether anything came in that was not served: in the buffer given, in our own, in the kernel's.
    pub(super) fn holds_unread(&self, buffered: &[u8]) -> bool {
        !buffered.is_empty() || !self.passed.is_empty() || !self.held.is_empty() || self.socket.unread() > 0
    }

    /// Lets `bytes`, which hyper read last, be read again.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.passed = join(bytes, std::mem::take(&mut self.passed));
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

    /// Waits until bytes have come, which hyper will get; false at the end. Holds no buffer while it waits.
    pub(super) async fn await_bytes(&mut self) -> io::Result<bool> {
        let Self { socket, held, state, .. } = self;
        let length = poll_fn(|cx| {
            read_some(socket, cx, |some| {
                held.extend_from_slice(some);
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

    /// Lets the guard look at the bytes that come next. They wait where `exchanging` says that a request is under way.
    fn examine(&mut self, bytes: &[u8], exchanging: bool) -> io::Result<Step> {
        if !self.guard.expects_head() {
            let length = self.guard.body(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            return Ok(Step::Pass(length));
        }
        self.waits = exchanging;
        if exchanging {
            return Ok(Step::Hold);
        }
        let whole = match self.guard.head(bytes) {
            Ok(Some(whole)) => whole,
            Ok(None) => return Ok(Step::Hold),
            Err(reason) => {
                self.refused = true;
                self.state.interrupt(Interruption::Refused(reason));
                return Ok(Step::Hold);
            }
        };
        let Whole { length, fields, rewritten, .. } = whole;
        let crowded = fields > self.room;
        self.needed = fields;
        if crowded {
            self.state.interrupt(Interruption::Crowded);
        }
        match rewritten {
            Some(rewritten) => {
                if let Some(target) = rewritten.target {
                    self.state.target_rewritten(target);
                }
                self.passed = rewritten.head;
                Ok(Step::Replace(length))
            }
            None if crowded => {
                self.passed = Bytes::copy_from_slice(&bytes[..length]);
                Ok(Step::Replace(length))
            }
            None => Ok(Step::Pass(length)),
        }
    }

    /// Passes to hyper what of the bytes held may pass now; whether that was any.
    fn pass_held(&mut self) -> io::Result<bool> {
        let exchanging = self.state.bytes_read();
        let mut held = std::mem::take(&mut self.held);
        let step = self.examine(&held, exchanging)?;
        match step {
            Step::Pass(length) => self.passed = held.split_to(length).freeze(),
            Step::Replace(length) => held.advance(length),
            Step::Hold => {}
        }
        // No bytes at all may still hold on to a whole buffer.
        if !held.is_empty() {
            self.held = held;
        }
        Ok(step != Step::Hold)
    }

    /// Takes the bytes in `buf` from `before` on, which came last, out of it again but for those that may pass now.
    fn sift(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> io::Result<()> {
        let exchanging = self.state.bytes_read();
        let new = &buf.filled()[before..];
        let step = if self.held.is_empty() { self.examine(new, exchanging)? } else { Step::Hold };
        let (passing, gone) = match step {
            Step::Pass(length) => (length, length),
            Step::Replace(length) => (0, length),
            Step::Hold => (0, 0),
        };
        self.held.extend_from_slice(&new[gone..]);
        buf.set_filled(before + passing);
        Ok(())
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
            Poll::Pending => self.state.write_blocked(|| self.socket.unsent()),
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
    // No bytes at all may still hold on to a whole buffer.
    match (first.is_empty(), second.is_empty()) {
        (true, true) => Bytes::new(),
        (true, false) => second,
        (false, true) => first,
        (false, false) => [first, second].concat().into(),
    }
}

impl<S: Socket> AsyncRead for TrackedSocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            // The connection's task looks for why, and goes on with another hyper or with none.
            if this.refused || this.needed > this.room {
                return Poll::Pending;
            }
            if !this.passed.is_empty() {
                let length = this.passed.len().min(buf.remaining());
                buf.put_slice(&this.passed.split_to(length));
                if this.passed.is_empty() {
                    this.passed = Bytes::new();
                }
                this.state.bytes_read();
                return Poll::Ready(Ok(()));
            }
            if !this.held.is_empty() {
                if this.pass_held()? {
                    continue;
                }
                if this.refused || this.waits {
                    return Poll::Pending;
                }
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                this.state.end_of_input();
                return Poll::Ready(Ok(()));
            }
            this.sift(buf, before)?;
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
        ready!(Pin::new(&mut this.socket).poll_flush(cx))?;
        this.state.flushed();
        if this.waits && !this.state.is_exchanging() {
            // hyper was told that nothing is there, and would not ask again.
            this.waits = false;
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::now;

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
        let limits = HeadLimits { bytes: 1024, fields: 10 };
        let mut socket = TrackedSocket::new(ours, limits, Arc::new(ConnectionState::new(now())), Arc::default());
        let held = Arc::new(());
        socket.put_back(Bytes::from_owner(Buffer { _held: held.clone() }));
        assert_eq!(Arc::strong_count(&held), 1);
        socket.put_back("GET".into());
        socket.put_back(Bytes::from_owner(Buffer { _held: held.clone() }));
        assert_eq!((Arc::strong_count(&held), socket.passed), (1, Bytes::from("GET")));
    }
}
