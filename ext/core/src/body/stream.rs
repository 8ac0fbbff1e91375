//! A response body sent while it is made: a channel from the app's thread to the connection, bounded in bytes, so
//! that a slow reader holds the app back instead of filling memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{Aborted, Budget};
use crate::wake;

/// How many bytes may wait between the app and the socket. One chunk larger than this still passes.
const STREAM_WINDOW: usize = 256 * 1024;

/// A response body whose chunks are sent as they are made.
pub fn channel() -> (BodySender, BodyReceiver) {
    let stream = Arc::new(Mutex::new(Stream::default()));
    (BodySender(Some(stream.clone())), BodyReceiver(stream))
}

#[derive(Debug, Default)]
struct Stream {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: End,
    reader: Reader,
    /// What the chunks are counted in, once the response has begun.
    budget: Option<Arc<Budget>>,
    /// Those who wait for room.
    senders: Vec<wake::Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Finished,
    Aborted,
}

#[derive(Debug, Default)]
enum Reader {
    #[default]
    Busy,
    Waiting(std::task::Waker),
    Gone,
}

fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    // No code that can panic runs under this lock.
    stream.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The app's side of a streamed response body. Dropped without [`finish`](Self::finish), it aborts the response,
/// so that a truncated body never looks whole.
#[derive(Debug)]
pub struct BodySender(Option<Arc<Mutex<Stream>>>);

/// Why a chunk was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum SendError {
    /// The client is slower than the app; the chunk is given back. The `waker` given to
    /// [`BodySender::try_send`] rings when there is room.
    Full(Bytes),
    /// The client has gone, or the server has cut the response: nothing more will be taken.
    Gone,
}

impl BodySender {
    /// Hands over one chunk, which is on its way to the client when this returns.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] and [`SendError::Gone`]. Empty chunks are ignored.
    pub fn try_send(&self, chunk: Bytes, waker: &wake::Waker) -> Result<(), SendError> {
        let Some(stream) = &self.0 else { return Err(SendError::Gone) };
        let mut state = lock(stream);
        if matches!(state.reader, Reader::Gone) {
            return Err(SendError::Gone);
        }
        if chunk.is_empty() {
            return Ok(());
        }
        if !state.takes(chunk.len()) {
            state.senders.push(waker.clone());
            return Err(SendError::Full(chunk));
        }
        state.bytes += chunk.len();
        let chunk = match &state.budget {
            Some(budget) => budget.count(chunk),
            None => chunk,
        };
        state.chunks.push_back(chunk);
        wake_reader(state);
        Ok(())
    }

    /// Whether nobody reads any more.
    pub fn is_gone(&self) -> bool {
        self.0.as_ref().is_none_or(|stream| matches!(lock(stream).reader, Reader::Gone))
    }

    /// Ends the body: it is whole.
    pub fn finish(mut self) {
        self.end(End::Finished);
    }

    fn end(&mut self, end: End) {
        if let Some(stream) = self.0.take() {
            let mut state = lock(&stream);
            state.end = end;
            state.senders.clear();
            wake_reader(state);
        }
    }
}

impl Stream {
    /// Whether a chunk of that length has room. Where the server has none, only if the connection would send it at once, or
    /// put it aside.
    fn takes(&self, length: usize) -> bool {
        if self.budget.as_ref().is_some_and(|budget| budget.is_over()) {
            return self.bytes == 0 && matches!(self.reader, Reader::Waiting(_));
        }
        self.bytes == 0 || self.bytes + length <= STREAM_WINDOW
    }
}

fn wake_reader(mut state: MutexGuard<'_, Stream>) {
    if let Reader::Waiting(task) = &state.reader {
        let task = task.clone();
        state.reader = Reader::Busy;
        drop(state);
        task.wake();
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        self.end(End::Aborted);
    }
}

/// The connection's side of a streamed response body.
#[derive(Debug)]
pub struct BodyReceiver(Arc<Mutex<Stream>>);

impl BodyReceiver {
    /// Counts in `budget` what waits here now and later, until the connection has written it.
    pub(crate) fn count_in(&self, budget: &Arc<Budget>) {
        let mut state = lock(&self.0);
        for chunk in &mut state.chunks {
            *chunk = budget.count(std::mem::take(chunk));
        }
        state.budget = Some(budget.clone());
    }

    /// The next chunk; `None` after a finished body.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        let mut state = lock(&self.0);
        let Some(chunk) = state.chunks.pop_front() else {
            return match state.end {
                End::Finished => Poll::Ready(None),
                End::Aborted => Poll::Ready(Some(Err(Aborted))),
                End::Open => {
                    state.reader = Reader::Waiting(cx.waker().clone());
                    // One may wait for just this.
                    let senders = std::mem::take(&mut state.senders);
                    drop(state);
                    senders.iter().for_each(wake::Waker::wake);
                    Poll::Pending
                }
            };
        };
        state.bytes -= chunk.len();
        if state.bytes <= STREAM_WINDOW / 2 && !state.senders.is_empty() {
            let senders = std::mem::take(&mut state.senders);
            drop(state);
            senders.iter().for_each(wake::Waker::wake);
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.reader = Reader::Gone;
        state.chunks.clear();
        state.bytes = 0;
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.iter().for_each(wake::Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wake::Sleeper;
    use std::future::poll_fn;

    async fn next(receiver: &mut BodyReceiver) -> Option<Result<Bytes, Aborted>> {
        poll_fn(|cx| receiver.poll_next(cx)).await
    }

    #[tokio::test]
    async fn streams_chunks_in_order_and_ends_when_finished() {
        let (sender, mut receiver) = channel();
        let waker = Sleeper::new().waker();
        sender.try_send("one".into(), &waker).unwrap();
        sender.try_send("two".into(), &waker).unwrap();
        sender.finish();
        assert_eq!(next(&mut receiver).await.unwrap().unwrap(), "one");
        assert_eq!(next(&mut receiver).await.unwrap().unwrap(), "two");
        assert!(next(&mut receiver).await.is_none());
    }

    #[tokio::test]
    async fn a_sender_dropped_unfinished_aborts() {
        let (sender, mut receiver) = channel();
        sender.try_send("half".into(), &Sleeper::new().waker()).unwrap();
        drop(sender);
        assert_eq!(next(&mut receiver).await.unwrap().unwrap(), "half");
        assert!(next(&mut receiver).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_slow_reader_holds_the_sender_back_and_wakes_it() {
        let (sender, mut receiver) = channel();
        let sleeper = Sleeper::new();
        let chunk = Bytes::from(vec![0; STREAM_WINDOW / 2]);
        sender.try_send(chunk.clone(), &sleeper.waker()).unwrap();
        sender.try_send(chunk.clone(), &sleeper.waker()).unwrap();
        let full = sender.try_send(chunk.clone(), &sleeper.waker());
        assert_eq!(full, Err(SendError::Full(chunk.clone())));
        next(&mut receiver).await.unwrap().unwrap();
        sleeper.sleep();
        sender.try_send(chunk, &sleeper.waker()).unwrap();
    }

    #[tokio::test]
    async fn a_chunk_larger_than_the_window_passes_alone() {
        let (sender, _receiver) = channel();
        let waker = Sleeper::new().waker();
        sender.try_send(Bytes::from(vec![0; 2 * STREAM_WINDOW]), &waker).unwrap();
        assert!(matches!(sender.try_send("x".into(), &waker), Err(SendError::Full(_))));
    }

    #[test]
    fn a_reader_that_leaves_wakes_and_refuses_the_sender() {
        let (sender, receiver) = channel();
        let sleeper = Sleeper::new();
        let big = Bytes::from(vec![0; STREAM_WINDOW]);
        sender.try_send(big.clone(), &sleeper.waker()).unwrap();
        assert!(matches!(sender.try_send(big, &sleeper.waker()), Err(SendError::Full(_))));
        drop(receiver);
        sleeper.sleep();
        assert!(sender.is_gone());
        assert_eq!(sender.try_send("x".into(), &sleeper.waker()), Err(SendError::Gone));
    }
}
