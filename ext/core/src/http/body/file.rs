//! A file as a response body, read without the app: by the I/O thread as long as that need not wait for the disk, otherwise
//! by another thread.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::{JoinHandle, spawn_blocking},
};

use super::Aborted;
use crate::sys;

/// How much of a file is read at a time.
const FILE_CHUNK: usize = 128 * 1024;

/// How many reads may wait for a disk at a time: fewer than there are threads for that, so that uploads are still written to disk
/// when a network file system no longer answers. A static, because the disks and the threads are the process's.
static READS: Semaphore = Semaphore::const_new(24);

/// A file on its way to the client.
#[derive(Debug)]
pub struct FileBody {
    state: State,
    at: u64,
    left: u64,
    /// The system can tell what of the file is in memory.
    tells: bool,
}

#[derive(Debug)]
enum State {
    Idle(Source),
    Reading(JoinHandle<io::Result<(Source, usize)>>),
    Over,
}

/// The file, and the buffer it is read into: the same one each time, once the socket has taken what was in it.
#[derive(Debug)]
struct Source {
    file: File,
    buffer: BytesMut,
}

impl FileBody {
    /// The first `len` bytes of `file`.
    pub fn new(file: File, len: u64) -> Self {
        Self::from(file, 0, len)
    }

    /// `len` bytes of `file` from `at` on.
    pub(super) fn from(file: File, at: u64, len: u64) -> Self {
        Self { state: State::Idle(Source { file, buffer: BytesMut::new() }), at, left: len, tells: true }
    }

    /// Bytes not sent yet.
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether all of it is sent.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next chunk; `None` after the last. A file shorter than declared aborts the response.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                _ if self.left == 0 => return Poll::Ready(None),
                State::Over => return Poll::Ready(Some(Err(Aborted))),
                State::Idle(mut source) => {
                    let (at, want) = (self.at, FILE_CHUNK.min(usize::try_from(self.left).unwrap_or(FILE_CHUNK)));
                    if self.tells {
                        match source.read(at, want, sys::read_cached) {
                            Ok(length) => return Poll::Ready(Some(self.take(source, length))),
                            Err(error) => self.tells = error.kind() == io::ErrorKind::WouldBlock,
                        }
                    }
                    self.state = State::Reading(source.read_beside(at, want));
                }
                State::Reading(mut reading) => match Pin::new(&mut reading).poll(cx) {
                    Poll::Pending => {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(Ok((source, length)))) => return Poll::Ready(Some(self.take(source, length))),
                    Poll::Ready(_) => return Poll::Ready(Some(Err(Aborted))),
                },
            }
        }
    }

    /// The chunk that was read; none is the end of a file that was to be longer.
    fn take(&mut self, mut source: Source, length: usize) -> Result<Bytes, Aborted> {
        if length == 0 {
            return Err(Aborted);
        }
        let chunk = source.buffer.split().freeze();
        self.at += length as u64;
        self.left -= length as u64;
        self.state = State::Idle(source);
        Ok(chunk)
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        // A read that has not begun is not needed any more.
        if let State::Reading(reading) = &self.state {
            reading.abort();
        }
    }
}

impl Source {
    /// Reads on a thread of its own, when there is one.
    fn read_beside(mut self, at: u64, want: usize) -> JoinHandle<io::Result<(Self, usize)>> {
        let read = move |_permit: SemaphorePermit<'static>| {
            let length = self.read(at, want, sys::read_at)?;
            Ok((self, length))
        };
        match READS.try_acquire() {
            Ok(permit) => spawn_blocking(move || read(permit)),
            Err(_) => tokio::spawn(async move {
                let permit = READS.acquire().await.map_err(io::Error::other)?;
                spawn_blocking(move || read(permit)).await.map_err(io::Error::other)?
            }),
        }
    }

    /// Reads up to `want` bytes at `at` into the buffer, and returns how many.
    fn read(
        &mut self,
        at: u64,
        want: usize,
        read: fn(std::os::fd::BorrowedFd<'_>, u64, &mut BytesMut, usize) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.buffer.reserve(want);
        loop {
            match read(self.file.as_fd(), at, &mut self.buffer, want) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::Regular;
    use std::{future::poll_fn, io::Write};

    fn file(length: usize) -> (File, Vec<u8>) {
        let content: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        (file, content)
    }

    async fn read(body: &mut FileBody) -> Result<Vec<u8>, Aborted> {
        let mut all = Vec::new();
        while let Some(chunk) = poll_fn(|cx| body.poll_next(cx)).await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn reads_a_file_to_its_declared_length_or_aborts() {
        let (file, content) = file(300_000);
        for tells in [true, false] {
            let body = |length| {
                let mut body = FileBody::new(file.try_clone().unwrap(), length);
                body.tells = tells;
                body
            };
            assert!(read(&mut body(300_000)).await.unwrap() == content);
            assert!(read(&mut body(200_000)).await.unwrap() == content[..200_000]);
            assert!(read(&mut body(300_001)).await.is_err(), "does not end as if whole");
            assert!(body(0).is_empty() && read(&mut body(0)).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn sends_what_comes_behind_a_place_and_leaves_the_descriptor_where_it_is() {
        use std::{io::Seek, os::fd::AsRawFd};
        let (mut file, content) = file(200_000);
        let place = file.stream_position().unwrap();
        let regular = || Regular::opened(file.as_raw_fd()).unwrap().unwrap();
        assert_eq!(regular().after(150_000).len(), 50_000);
        assert!(read(&mut regular().after(150_000)).await.unwrap() == content[150_000..]);
        assert!(read(&mut regular().after(300_000)).await.unwrap().is_empty());
        assert_eq!(file.stream_position().unwrap(), place);
        assert!(Regular::opened(-1).is_err());
    }

    /// Files on a mount that no longer answers took all the threads for disks, and uploads stopped as well.
    #[tokio::test]
    async fn reads_that_hang_leave_threads_to_others() {
        let hanging = READS.acquire_many(24).await.unwrap();
        let (file, content) = file(1000);
        let mut body = FileBody::new(file, 1000);
        body.tells = false;
        let mut waiting = std::pin::pin!(read(&mut body));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        assert_eq!(spawn_blocking(|| "written").await.unwrap(), "written");
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        drop(hanging);
        assert!(waiting.await.unwrap() == content);
    }

    #[tokio::test]
    async fn uses_a_buffer_again_when_its_chunk_is_gone() {
        let mut body = FileBody::new(file(3 * FILE_CHUNK).0, 3 * FILE_CHUNK as u64);
        let mut next = async || poll_fn(|cx| body.poll_next(cx)).await.unwrap().unwrap();
        let first = next().await;
        let address = first.as_ptr();
        let second = next().await;
        assert_ne!(second.as_ptr(), address, "the first is still read");
        assert_eq!(first[..], (0..FILE_CHUNK).map(|index| (index % 251) as u8).collect::<Vec<_>>()[..]);
        let address = second.as_ptr();
        drop((first, second));
        assert_eq!(next().await.as_ptr(), address);
    }
}
