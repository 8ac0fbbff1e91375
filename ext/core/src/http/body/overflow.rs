//! The part of a response that a slow client has not taken yet and that memory has no room for: bytes in an unlinked temporary
//! file, read again in the order in which they were written. Each read and write is done off the I/O thread.

use std::{
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;

use crate::sys;

/// Bytes on disk, first in, first out.
#[derive(Debug, Default)]
pub(crate) struct Overflow(State);

#[derive(Debug, Default)]
enum State {
    /// There is no file.
    #[default]
    Empty,
    Idle(Spilled),
    /// A write or a read is under way. A read gives back what it has read.
    Busy(JoinHandle<Result<(Spilled, Bytes), Failed>>),
}

/// A write or a read has failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: io::Error,
    /// What was to be written. None for a read: what the file held is lost then.
    pub(crate) pieces: Vec<Bytes>,
    spilled: Option<Spilled>,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self { error, pieces: Vec::new(), spilled: None }
    }
}

#[derive(Debug)]
struct Spilled {
    file: File,
    written: u64,
    read: u64,
}

impl Overflow {
    /// Bytes written and not read again; those on their way there or back are not counted.
    pub(crate) fn unread(&self) -> u64 {
        match &self.0 {
            State::Idle(spilled) => spilled.unread(),
            State::Empty | State::Busy(_) => 0,
        }
    }

    /// Whether nothing is there, nor on its way.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.0, State::Empty)
    }

    /// Waits for what is under way. A piece that was read is given back; none after a write, or where nothing was under way.
    ///
    /// # Errors
    ///
    /// When the file could not be made, written or read.
    pub(crate) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Failed>> {
        let State::Busy(job) = &mut self.0 else { return Poll::Ready(Ok(Bytes::new())) };
        let done = ready!(Pin::new(job).poll(cx));
        self.0 = State::Empty;
        let (spilled, piece) = match done.map_err(io::Error::other)? {
            Ok(done) => done,
            Err(mut failed) => {
                if let Some(spilled) = failed.spilled.take_if(|spilled| spilled.unread() > 0) {
                    self.0 = State::Idle(spilled);
                }
                return Poll::Ready(Err(failed));
            }
        };
        // A file that is read to its end is closed, and the next write makes a new one: the old pages are of no more use.
        if spilled.unread() > 0 {
            self.0 = State::Idle(spilled);
        }
        Poll::Ready(Ok(piece))
    }

    /// Begins to write `pieces` to the end of the file, which is made in `directory` where there is none. They are dropped when
    /// they are written. Nothing may be under way.
    pub(crate) fn append(&mut self, pieces: Vec<Bytes>, directory: &Path) {
        let spilled = self.take().map_or_else(|| Err(directory.to_owned()), Ok);
        self.0 = State::Busy(tokio::task::spawn_blocking(move || {
            let mut spilled = match spilled.or_else(|directory| Spilled::new(&directory)) {
                Ok(spilled) => spilled,
                Err(error) => return Err(Failed { error, pieces, spilled: None }),
            };
            match spilled.append(&pieces) {
                Ok(()) => Ok((spilled, Bytes::new())),
                Err(error) => Err(Failed { error, pieces, spilled: Some(spilled) }),
            }
        }));
    }

    /// Begins to read up to `want` bytes. Nothing may be under way.
    pub(crate) fn read(&mut self, want: usize) {
        let Some(mut spilled) = self.take() else { return };
        self.0 = State::Busy(tokio::task::spawn_blocking(move || {
            let want = want.min(usize::try_from(spilled.unread()).unwrap_or(want));
            let mut buffer = BytesMut::with_capacity(want);
            let length = loop {
                match sys::read_at(spilled.file.as_fd(), spilled.read, &mut buffer, want) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    done => break done?,
                }
            };
            if length == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            spilled.read += length as u64;
            Ok((spilled, buffer.freeze()))
        }));
    }

    fn take(&mut self) -> Option<Spilled> {
        match std::mem::take(&mut self.0) {
            State::Idle(spilled) => Some(spilled),
            State::Empty | State::Busy(_) => None,
        }
    }
}

impl Spilled {
    fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(directory)?, written: 0, read: 0 })
    }

    /// Writes all of them, or none: what a failed write has left behind is overwritten by the next.
    fn append(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        let mut end = self.written;
        for piece in pieces {
            self.file.write_all_at(piece, end)?;
            end += piece.len() as u64;
        }
        self.written = end;
        Ok(())
    }

    fn unread(&self) -> u64 {
        self.written - self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn gives_back_in_order_what_was_put_in() {
        let mut overflow = Overflow::default();
        let mut got = Vec::new();
        overflow.append(vec!["one".into(), "two".into()], &std::env::temp_dir());
        assert!(poll_fn(|cx| overflow.poll_done(cx)).await.unwrap().is_empty());
        overflow.read(4);
        got.extend(poll_fn(|cx| overflow.poll_done(cx)).await.unwrap());
        assert_eq!((&got[..], overflow.unread()), (&b"onet"[..], 2));
        overflow.append(vec!["three".into()], &std::env::temp_dir());
        while !overflow.is_empty() {
            let piece = poll_fn(|cx| overflow.poll_done(cx)).await.unwrap();
            got.extend(piece);
            if overflow.unread() > 0 {
                overflow.read(3);
            }
        }
        assert_eq!(got, b"onetwothree");
    }
}
