//! A stream of bytes that a connection lives on: a TCP or Unix socket, and what a connection asks of it beside its bytes.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::{TcpStream, UnixStream},
};

use crate::{exchange::hijack::Family, sys};

/// A stream of bytes, with the questions that only a socket can answer.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Bytes received and not read; 0 where the system cannot tell.
    fn unread(&self) -> usize;

    /// Bytes written that the peer's kernel has not confirmed; 0 where the system cannot tell.
    fn unsent(&self) -> usize;

    /// Bytes written that the kernel has not got, because it takes none for now: nothing sends them but another write or a flush.
    fn held_back(&self) -> usize {
        0
    }

    /// Makes closing tell the peer that the stream was cut, if the protocol has a way.
    fn reset_on_close(&self);

    /// The descriptor, where there is one that another process can have.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Whether the stream has an end of its own, to be sent ahead of the socket's: without it the peer takes the stream for one that
    /// was cut.
    fn has_end_of_its_own(&self) -> bool {
        false
    }

    /// The socket itself, for the app; one that has none is given back.
    fn release(self) -> io::Result<Released<Self>>
    where
        Self: Sized;
}

/// A socket that tells what has come before it is read, so that nothing is read that is for another layer.
pub(crate) trait Peek: Socket {
    /// Waits until something is there, and copies as much of it as fits; 0 is the end.
    fn peek(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

impl Peek for TcpStream {
    async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::peek(self, buffer).await
    }
}

impl Peek for UnixStream {
    async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (_, length) = self.async_io(Interest::READABLE, || Ok(recv(self, &mut *buffer, RecvFlags::PEEK)?)).await?;
        Ok(length)
    }
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

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
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

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn release(self) -> io::Result<Released<Self>> {
        self.into_std().map(|socket| Released::Descriptor(socket.into(), Family::Unix))
    }
}

/// No header of a proxy comes in memory.
#[cfg(test)]
impl Peek for tokio::io::DuplexStream {
    async fn peek(&self, _buffer: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

/// In-memory connections of the wire tests.
#[cfg(any(test, feature = "fuzzing"))]
impl Socket for tokio::io::DuplexStream {
    fn unread(&self) -> usize {
        0
    }

    fn unsent(&self) -> usize {
        0
    }

    fn reset_on_close(&self) {}

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn release(self) -> io::Result<Released<Self>> {
        Ok(Released::Stream(self))
    }
}
