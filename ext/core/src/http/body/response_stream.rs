//! A response body sent while it is made: a channel from the app's thread to the connection, bounded in bytes, so
//! that a slow reader holds the app back instead of filling memory. Until the first of it has come, the response may be
//! recalled, and another one sent in its place.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{Aborted, Budget};
use crate::sync::Unparker;

/// How many bytes may wait between the app and the socket. One chunk larger than this still passes.
const STREAM_WINDOW: usize = 256 * 1024;

/// How many bytes past the declared length are dropped and counted before the app is told to stop.
const EXCESS: u64 = 64 * 1024;

/// A response body whose chunks are sent as they are made.
pub(crate) fn channel() -> (BodySender, BodyReceiver) {
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
    senders: Vec<Unparker>,
    /// The head goes out, or has gone out.
    begun: bool,
    /// Bytes that the app has given, whether they are sent or not.
    offered: u64,
    expected: Option<Expected>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Finished,
    Aborted,
    /// Another response takes its place.
    Recalled,
}

#[derive(Debug, Default)]
enum Reader {
    #[default]
    Busy,
    Waiting(std::task::Waker),
    /// It has all the bytes that the head has declared.
    Satisfied,
    Gone,
}

/// The length that the head declares, and what is called with the real one when that differs.
struct Expected {
    declared: u64,
    wrong: Box<dyn FnOnce(u64) + Send>,
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expected({})", self.declared)
    }
}

impl Stream {
    /// What is to be called with the real length, once the body is over.
    fn wrong_length(&mut self) -> Option<(Expected, u64)> {
        let offered = self.offered;
        self.expected.take_if(|expected| expected.declared != offered).map(|expected| (expected, offered))
    }
}

fn tell(wrong: Option<(Expected, u64)>) {
    if let Some((expected, offered)) = wrong {
        (expected.wrong)(offered);
    }
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
    /// The response has long had all the bytes that its head declares.
    TooLong,
}

impl BodySender {
    /// Hands over one chunk, which is on its way to the client when this returns.
    ///
    /// # Errors
    ///
    /// [`SendError`]. Empty chunks are ignored.
    pub fn try_send(&self, chunk: Bytes, waker: &Unparker) -> Result<(), SendError> {
        let Some(stream) = &self.0 else { return Err(SendError::Gone) };
        let mut state = lock(stream);
        if matches!(state.reader, Reader::Gone) || state.end != End::Open {
            return Err(SendError::Gone);
        }
        if chunk.is_empty() {
            return Ok(());
        }
        if matches!(state.reader, Reader::Satisfied) {
            state.offered += chunk.len() as u64;
            let allowed = state.expected.as_ref().map_or(0, |expected| expected.declared + EXCESS);
            return if state.offered > allowed { Err(SendError::TooLong) } else { Ok(()) };
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
        state.offered += chunk.len() as u64;
        state.chunks.push_back(chunk);
        wake_reader(state);
        Ok(())
    }

    /// Has the head go out now, if it waits for the first of the body.
    pub fn begin(&self) {
        if let Some(stream) = &self.0 {
            let mut state = lock(stream);
            state.begun = true;
            wake_reader(state);
        }
    }

    /// Takes the response back, head and all. Whether it was in time.
    pub(crate) fn recall(&self) -> bool {
        let Some(stream) = &self.0 else { return false };
        let mut state = lock(stream);
        let in_time = !state.begun
            && state.chunks.is_empty()
            && state.end == End::Open
            && !matches!(state.reader, Reader::Gone | Reader::Satisfied);
        if in_time {
            state.end = End::Recalled;
            wake_reader(state);
        }
        in_time
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
            if state.end != End::Open {
                return;
            }
            state.end = end;
            state.senders.clear();
            let over = end == End::Finished || matches!(state.reader, Reader::Satisfied);
            let wrong = if over { state.wrong_length() } else { None };
            wake_reader(state);
            tell(wrong);
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

/// What becomes of a response that waits for the first of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Its head goes out.
    Begins,
    /// Another response takes its place.
    Recalled,
    /// The app has left it without a word.
    Failed,
}

impl BodyReceiver {
    /// Counts in `budget` what waits here now and later, until the connection has written it.
    pub(crate) fn count_in(&self, budget: &Arc<Budget>) {
        let mut state = lock(&self.0);
        for chunk in &mut state.chunks {
            *chunk = budget.count(std::mem::take(chunk));
        }
        state.budget = Some(budget.clone());
    }

    /// Waits until it is known what becomes of the response.
    pub(crate) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<Start> {
        let mut state = lock(&self.0);
        if state.end == End::Open && !state.begun && state.chunks.is_empty() {
            state.reader = Reader::Waiting(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(start(&mut state))
    }

    /// Says what becomes of the response, which has waited for long enough.
    pub(crate) fn start(&mut self) -> Start {
        start(&mut lock(&self.0))
    }

    /// The head declares a length. When the body is over and has another, `wrong` is called with that, on the thread that
    /// ends it.
    pub(crate) fn expect(&self, declared: u64, wrong: impl FnOnce(u64) + Send + 'static) {
        let mut state = lock(&self.0);
        state.expected = Some(Expected { declared, wrong: Box::new(wrong) });
        let wrong = if state.end == End::Finished { state.wrong_length() } else { None };
        drop(state);
        tell(wrong);
    }

    /// The client has all that was declared: the app may go on to its end, and what it still gives is dropped.
    pub(crate) fn satisfied(&self) {
        let mut state = lock(&self.0);
        state.reader = Reader::Satisfied;
        state.chunks.clear();
        state.bytes = 0;
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.iter().for_each(Unparker::unpark);
    }
    /// The next chunk; `None` after a finished body.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        let mut state = lock(&self.0);
        let Some(chunk) = state.chunks.pop_front() else {
            return match state.end {
                End::Finished => Poll::Ready(None),
                End::Aborted | End::Recalled => Poll::Ready(Some(Err(Aborted))),
                End::Open => {
                    state.reader = Reader::Waiting(cx.waker().clone());
                    // One may wait for just this.
                    let senders = std::mem::take(&mut state.senders);
                    drop(state);
                    senders.iter().for_each(Unparker::unpark);
                    Poll::Pending
                }
            };
        };
        state.bytes -= chunk.len();
        if state.bytes <= STREAM_WINDOW / 2 && !state.senders.is_empty() {
            let senders = std::mem::take(&mut state.senders);
            drop(state);
            senders.iter().for_each(Unparker::unpark);
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

fn start(state: &mut Stream) -> Start {
    match state.end {
        End::Recalled => Start::Recalled,
        End::Aborted if !state.begun && state.chunks.is_empty() => Start::Failed,
        End::Open | End::Finished | End::Aborted => {
            state.begun = true;
            Start::Begins
        }
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        if matches!(state.reader, Reader::Satisfied) {
            return;
        }
        state.reader = Reader::Gone;
        state.chunks.clear();
        state.bytes = 0;
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.iter().for_each(Unparker::unpark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Parker;
    use std::future::poll_fn;

    async fn next(receiver: &mut BodyReceiver) -> Option<Result<Bytes, Aborted>> {
        poll_fn(|cx| receiver.poll_next(cx)).await
    }

    #[tokio::test]
    async fn streams_chunks_in_order_and_ends_when_finished() {
        let (sender, mut receiver) = channel();
        let waker = Parker::new().unparker();
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
        sender.try_send("half".into(), &Parker::new().unparker()).unwrap();
        drop(sender);
        assert_eq!(next(&mut receiver).await.unwrap().unwrap(), "half");
        assert!(next(&mut receiver).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_slow_reader_holds_the_sender_back_and_wakes_it() {
        let (sender, mut receiver) = channel();
        let parker = Parker::new();
        let chunk = Bytes::from(vec![0; STREAM_WINDOW / 2]);
        sender.try_send(chunk.clone(), &parker.unparker()).unwrap();
        sender.try_send(chunk.clone(), &parker.unparker()).unwrap();
        let full = sender.try_send(chunk.clone(), &parker.unparker());
        assert_eq!(full, Err(SendError::Full(chunk.clone())));
        next(&mut receiver).await.unwrap().unwrap();
        parker.park();
        sender.try_send(chunk, &parker.unparker()).unwrap();
    }

    #[tokio::test]
    async fn a_chunk_larger_than_the_window_passes_alone() {
        let (sender, _receiver) = channel();
        let waker = Parker::new().unparker();
        sender.try_send(Bytes::from(vec![0; 2 * STREAM_WINDOW]), &waker).unwrap();
        assert!(matches!(sender.try_send("x".into(), &waker), Err(SendError::Full(_))));
    }

    /// Of a response whose head waits, the app may still make another.
    #[tokio::test]
    async fn a_response_is_recalled_until_it_has_begun() {
        let waker = Parker::new().unparker();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (sender, mut receiver) = channel();
        assert!(receiver.poll_start(&mut cx).is_pending());
        assert!(sender.recall());
        assert_eq!(receiver.poll_start(&mut cx), Poll::Ready(Start::Recalled));
        assert_eq!(sender.try_send("x".into(), &waker), Err(SendError::Gone));
        drop(sender);
        assert_eq!(receiver.start(), Start::Recalled);

        let (sender, mut receiver) = channel();
        sender.try_send("x".into(), &waker).unwrap();
        assert!(!sender.recall(), "what was yielded is on its way");
        drop(sender);
        assert_eq!(receiver.poll_start(&mut cx), Poll::Ready(Start::Begins));

        let (sender, mut receiver) = channel();
        sender.begin();
        assert_eq!(receiver.poll_start(&mut cx), Poll::Ready(Start::Begins));
        assert!(!sender.recall());

        let (sender, mut receiver) = channel();
        assert_eq!(receiver.start(), Start::Begins, "it has waited for long enough");
        assert!(!sender.recall());

        let (sender, mut receiver) = channel();
        drop(sender);
        assert_eq!(receiver.poll_start(&mut cx), Poll::Ready(Start::Failed));
    }

    #[test]
    fn what_goes_past_the_declared_length_is_dropped_and_counted_within_bounds() {
        let waker = Parker::new().unparker();
        let (tell, told) = std::sync::mpsc::channel();
        let (sender, receiver) = channel();
        receiver.expect(3, move |length| tell.send(length).unwrap());
        sender.try_send("abc".into(), &waker).unwrap();
        receiver.satisfied();
        drop(receiver);
        sender.try_send("".into(), &waker).unwrap();
        sender.try_send("de".into(), &waker).unwrap();
        assert!(!sender.is_gone());
        sender.finish();
        assert_eq!(told.try_recv(), Ok(5));

        let (tell, told) = std::sync::mpsc::channel();
        let (sender, receiver) = channel();
        receiver.expect(0, move |length| tell.send(length).unwrap());
        receiver.satisfied();
        drop(receiver);
        let chunk = Bytes::from(vec![0; EXCESS as usize]);
        sender.try_send(chunk.clone(), &waker).unwrap();
        assert_eq!(sender.try_send(chunk, &waker), Err(SendError::TooLong));
        drop(sender);
        assert_eq!(told.try_recv(), Ok(2 * EXCESS));
    }

    #[test]
    fn a_body_that_is_over_is_measured_whoever_learns_of_its_length_last() {
        for (text, wrong) in [("ab", Some(2)), ("abc", None)] {
            for finished_first in [true, false] {
                let (tell, told) = std::sync::mpsc::channel();
                let (sender, receiver) = channel();
                sender.try_send(text.into(), &Parker::new().unparker()).unwrap();
                let expect = || receiver.expect(3, move |length| tell.send(length).unwrap());
                if finished_first {
                    sender.finish();
                    expect();
                } else {
                    expect();
                    sender.finish();
                }
                assert_eq!(told.try_recv().ok(), wrong);
            }
        }
    }

    #[test]
    fn a_reader_that_leaves_wakes_and_refuses_the_sender() {
        let (sender, receiver) = channel();
        let parker = Parker::new();
        let big = Bytes::from(vec![0; STREAM_WINDOW]);
        sender.try_send(big.clone(), &parker.unparker()).unwrap();
        assert!(matches!(sender.try_send(big, &parker.unparker()), Err(SendError::Full(_))));
        drop(receiver);
        parker.park();
        assert!(sender.is_gone());
        assert_eq!(sender.try_send("x".into(), &parker.unparker()), Err(SendError::Gone));
    }
}
