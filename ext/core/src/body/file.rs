//! A file as a response body: read off the I/O thread, and without the app.

use std::{
    fs::File,
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::Aborted;

/// How much of a file is read at a time.
const FILE_CHUNK: u64 = 64 * 1024;

/// A file on its way to the client, read off the I/O thread.
#[derive(Debug)]
pub struct FileBody {
    state: FileState,
    left: u64,
}

#[derive(Debug)]
enum FileState {
    Idle(File),
    Reading(tokio::task::JoinHandle<io::Result<(File, Bytes)>>),
    Over,
}

impl FileBody {
    /// The next `len` bytes of `file`.
    pub fn new(file: File, len: u64) -> Self {
        Self { state: FileState::Idle(file), left: len }
    }

    /// Bytes not sent yet.
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether all of it is sent.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next chunk; `None` after the last. A file shorter than promised aborts the response.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        loop {
            match std::mem::replace(&mut self.state, FileState::Over) {
                _ if self.left == 0 => return Poll::Ready(None),
                FileState::Over => return Poll::Ready(Some(Err(Aborted))),
                FileState::Idle(file) => {
                    let want = self.left.min(FILE_CHUNK);
                    self.state = FileState::Reading(tokio::task::spawn_blocking(move || read_chunk(file, want)));
                }
                FileState::Reading(mut reading) => match Pin::new(&mut reading).poll(cx) {
                    Poll::Pending => {
                        self.state = FileState::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(Ok((file, chunk)))) if !chunk.is_empty() => {
                        self.left -= chunk.len() as u64;
                        self.state = FileState::Idle(file);
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    Poll::Ready(_) => return Poll::Ready(Some(Err(Aborted))),
                },
            }
        }
    }
}

fn read_chunk(file: File, want: u64) -> io::Result<(File, Bytes)> {
    let mut chunk = Vec::with_capacity(want as usize);
    (&file).take(want).read_to_end(&mut chunk)?;
    Ok((file, chunk.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        io::{Seek, Write},
    };

    #[tokio::test]
    async fn reads_a_file_to_its_promised_length_or_aborts() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        file.rewind().unwrap();
        let mut body = FileBody::new(file.try_clone().unwrap(), 100_000);
        let mut total = 0;
        while let Some(chunk) = poll_fn(|cx| body.poll_next(cx)).await {
            total += chunk.unwrap().len();
        }
        assert_eq!(total, 100_000);
        file.rewind().unwrap();
        let mut short = FileBody::new(file, 100_001);
        let mut received = Ok(Bytes::new());
        while received.is_ok() {
            received = poll_fn(|cx| short.poll_next(cx)).await.expect("does not end as if whole");
        }
    }
}
