//! A socket with TLS between it and the connection: what is read from it is decrypted, and what is written is encrypted. Its end is
//! a message of its own (`close_notify`), so that a stream that was cut is not taken for a whole one.

use std::{
    fmt, io,
    os::fd::BorrowedFd,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use rustls::{HandshakeKind, server::ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::socket::{Released, Socket};
use crate::{sync::now, tls::TlsInfo};

/// The most plaintext in a record, and how many bytes more its ciphertext has at most: header, content type and tag, or in TLS 1.2
/// header, nonce and tag.
const RECORD: usize = 16 * 1024;
const OVERHEAD: u64 = 29;
/// A record that has come in part is something that comes in, for so long: a client could keep the connection with it.
const RECORD_TAKES: Duration = Duration::from_secs(2);

/// A socket whose handshake is complete. In a box, because it is moved and rustls' state is large.
pub(super) struct TlsSocket<S> {
    stream: Box<TlsStream<Encrypted<S>>>,
    /// How many bytes of ciphertext were made of what was written, at most.
    encrypted: u64,
}

impl<S: Socket> TlsSocket<S> {
    pub(super) fn new(mut stream: TlsStream<Encrypted<S>>) -> Self {
        stream.get_mut().0.handshake = None;
        let encrypted = stream.get_ref().0.written;
        Self { stream: Box::new(stream), encrypted }
    }

    /// What the handshake has agreed on.
    pub(super) fn info(&self) -> TlsInfo {
        TlsInfo::of(self.session())
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.session().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn socket(&self) -> &Encrypted<S> {
        self.stream.get_ref().0
    }

    fn session(&self) -> &ServerConnection {
        self.stream.get_ref().1
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if !self.session().wants_write() {
            self.encrypted = self.socket().written;
        } else if let Poll::Ready(Ok(length)) = written {
            self.encrypted += *length as u64 + OVERHEAD * length.div_ceil(RECORD) as u64;
        }
    }
}

impl<S: Socket> Socket for TlsSocket<S> {
    /// More than what the app will see: alerts, and what a record has beside its content, are among it.
    fn unread(&self) -> usize {
        let decrypted = usize::from(!self.session().wants_read());
        let begun = usize::from(self.socket().record_since.is_some_and(|since| now() < since + RECORD_TAKES));
        self.socket().socket.unread() + decrypted + begun
    }

    fn unsent(&self) -> usize {
        self.socket().socket.unsent()
    }

    fn held_back(&self) -> usize {
        if !self.session().wants_write() {
            return 0;
        }
        usize::try_from(self.encrypted.saturating_sub(self.socket().written)).unwrap_or(usize::MAX).max(1)
    }

    fn reset_on_close(&self) {
        self.socket().socket.reset_on_close();
    }

    /// Another process would have the socket, and not the keys.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn release(self) -> io::Result<Released<Self>> {
        Ok(Released::Stream(self))
    }

    fn has_end_of_its_own(&self) -> bool {
        true
    }
}

impl<S: Socket> AsyncRead for TlsSocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_read(cx, buf)
    }
}

impl<S: Socket> AsyncWrite for TlsSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut *this.stream).poll_write(cx, buf);
        this.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut *this.stream).poll_write_vectored(cx, bufs);
        this.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    /// Sends `close_notify`, and ends the server's side of the socket.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}

// ===== beneath TLS =====

/// The socket beneath TLS: it counts what is written, and knows whether a record has come in only in part.
#[derive(Debug)]
pub(super) struct Encrypted<S> {
    pub(super) socket: S,
    /// Bytes written.
    written: u64,
    records: Records,
    /// When the record came of which the rest is still to come.
    record_since: Option<Instant>,
    began: bool,
    /// While hands are shaken.
    handshake: Option<LastMove>,
}

/// When something of a handshake was last read or written, for the task that waits for it.
#[derive(Clone, Debug)]
pub(super) struct LastMove {
    begun: Instant,
    nanoseconds: Arc<AtomicU64>,
}

impl LastMove {
    pub(super) fn new(begun: Instant) -> Self {
        Self { begun, nanoseconds: Arc::default() }
    }

    fn is_now(&self) {
        let since = now().saturating_duration_since(self.begun).as_nanos();
        self.nanoseconds.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn at(&self) -> Instant {
        self.begun + Duration::from_nanos(self.nanoseconds.load(Relaxed))
    }
}

/// The client has begun with letters: it speaks HTTP, or something else that is no TLS.
#[derive(Debug)]
pub(super) struct Unencrypted;

impl fmt::Display for Unencrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client does not speak TLS")
    }
}

impl std::error::Error for Unencrypted {}

impl<S> Encrypted<S> {
    /// `handshake` is told of what is read and written until hands are shaken.
    pub(super) fn new(socket: S, handshake: LastMove) -> Self {
        let (records, handshake) = (Records::default(), Some(handshake));
        Self { socket, written: 0, records, record_since: None, began: false, handshake }
    }

    fn wrote(&mut self, length: usize) {
        self.written += length as u64;
        self.moved();
    }

    fn moved(&self) {
        if let Some(handshake) = &self.handshake {
            handshake.is_now();
        }
    }
}

impl<S: Socket> AsyncRead for Encrypted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        let new = &buf.filled()[before..];
        this.moved();
        if !std::mem::replace(&mut this.began, true) && new.first().is_some_and(u8::is_ascii_alphabetic) {
            return Poll::Ready(Err(io::Error::other(Unencrypted)));
        }
        this.records.came(new);
        this.record_since = this.records.is_within().then(|| this.record_since.unwrap_or_else(now));
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Encrypted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = ready!(Pin::new(&mut this.socket).poll_write(cx, buf))?;
        this.wrote(length);
        Poll::Ready(Ok(length))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = ready!(Pin::new(&mut this.socket).poll_write_vectored(cx, bufs))?;
        this.wrote(length);
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

/// Where in the stream of records the last byte that came was. rustls keeps the beginning of a record until the rest has come, and
/// does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Records {
    /// Bytes of the header of the record that comes, and its length as far as they tell.
    header: usize,
    length: usize,
    /// Bytes that are still to come of a record.
    missing: usize,
}

impl Records {
    /// Content type, version and length (RFC 8446 §5.1).
    const HEADER: usize = 5;

    fn came(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.missing > 0 {
                let length = self.missing.min(bytes.len());
                self.missing -= length;
                bytes = &bytes[length..];
                continue;
            }
            match self.header {
                3 => self.length = usize::from(bytes[0]) << 8,
                4 => self.length |= usize::from(bytes[0]),
                _ => {}
            }
            self.header += 1;
            bytes = &bytes[1..];
            if self.header == Self::HEADER {
                *self = Self { missing: self.length, ..Self::default() };
            }
        }
    }

    fn is_within(&self) -> bool {
        self.header > 0 || self.missing > 0
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn knows_where_a_record_ends_however_it_comes() {
        let records = [&[23, 3, 3, 1, 2][..], &[0; 258], &[21, 3, 3, 0, 0, 23, 3, 3, 0, 1, 9]].concat();
        let ends = [263, 268, 274];
        for step in [1, 2, 3, 5, 7, 263, 274] {
            let (mut state, mut at) = (Records::default(), 0);
            for piece in records.chunks(step) {
                state.came(piece);
                at += piece.len();
                assert_eq!(state.is_within(), !ends.contains(&at), "at {at} in steps of {step}");
            }
        }
    }

    /// The client's time ran out while the process stood still and had its answer still to send.
    #[tokio::test(start_paused = true)]
    async fn a_handshake_moves_with_what_is_read_and_with_what_is_written() {
        let (mut client, ours) = tokio::io::duplex(1024);
        let begun = now();
        let last_move = LastMove::new(begun);
        let mut socket = Encrypted::new(ours, last_move.clone());
        let second = Duration::from_secs(1);
        tokio::time::advance(second).await;
        client.write_all(&[22, 3, 1]).await.unwrap();
        socket.read_exact(&mut [0; 3]).await.unwrap();
        assert_eq!(last_move.at(), begun + second);
        tokio::time::advance(second).await;
        socket.write_all(&[22, 3, 3]).await.unwrap();
        assert_eq!(last_move.at(), begun + 2 * second);
    }
}
