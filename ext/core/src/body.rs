//! Bodies in both directions: a request body that has arrived whole, and a response body on its way out,
//! bounded in bytes so that a slow reader holds the app back instead of filling memory.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    future::poll_fn,
    io::{self, Read, Seek, Write},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;

use crate::{config::Limits, response::Refusal, wake};

// ===== request =====

/// A request body, complete before the request is dispatched.
#[derive(Debug)]
pub enum RequestBody {
    /// No body, or one of no bytes.
    Empty,
    /// Small enough for memory.
    Memory(Bytes),
    /// In an unlinked temporary file, positioned at its start.
    File {
        /// Open for reading and writing; it vanishes when closed.
        file: File,
        /// Its length in bytes.
        len: u64,
    },
}

/// How much of an upload is gathered before it is written to the file in one call.
const SPOOL_BATCH: usize = 256 * 1024;

impl RequestBody {
    /// Receives `incoming` to its end.
    ///
    /// # Errors
    ///
    /// 413 when it is longer than [`Limits::body`], 408 when no piece arrives for `patience`, 400 when its framing
    /// is broken or the client left, 500 when there is no room for it.
    pub(crate) async fn receive<B>(incoming: B, limits: Limits, patience: Option<Duration>) -> Result<Self, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let expected = incoming.size_hint().exact();
        if let (Some(limit), Some(length)) = (limits.body, expected)
            && length > limit
        {
            return Err(Refusal::closing(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let mut pieces = Pieces { incoming, patience, limit: limits.body, received: 0 };
        let mut held = Held::default();
        let mut spool: Option<File> = None;
        while let Some(piece) = pieces.next().await? {
            held.push(piece, expected);
            let room = if spool.is_some() { SPOOL_BATCH } else { limits.body_memory };
            if held.len() > room {
                spool = Some(write_out(spool, held.take()).await?);
            }
        }
        let rest = held.take();
        let Some(file) = spool else {
            return Ok(if rest.is_empty() { Self::Empty } else { Self::Memory(rest) });
        };
        let mut file = write_out(Some(file), rest).await?;
        file.rewind().map_err(|_| Refusal::closing(StatusCode::INTERNAL_SERVER_ERROR))?;
        Ok(Self::File { file, len: pieces.received })
    }
}

/// The data frames of a body, each waited for with patience, all of them together within the limit.
struct Pieces<B> {
    incoming: B,
    patience: Option<Duration>,
    limit: Option<u64>,
    received: u64,
}

impl<B: Body<Data = Bytes> + Unpin> Pieces<B> {
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut self.incoming).poll_frame(cx));
            let frame = match self.patience {
                None => frame.await,
                Some(patience) => tokio::time::timeout(patience, frame)
                    .await
                    .map_err(|_| Refusal::closing(StatusCode::REQUEST_TIMEOUT))?,
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| Refusal::closing(StatusCode::BAD_REQUEST))?;
            let Ok(piece) = frame.into_data() else { continue };
            self.received += piece.len() as u64;
            if self.limit.is_some_and(|limit| self.received > limit) {
                return Err(Refusal::closing(StatusCode::PAYLOAD_TOO_LARGE));
            }
            return Ok(Some(piece));
        }
    }
}

/// The bytes received and not written out: the first piece as it came, gathered only when a second arrives.
#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Held {
    fn push(&mut self, piece: Bytes, expected: Option<u64>) {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(piece),
            Self::One(first) => {
                let room = expected.map_or(0, |length| length.min(SPOOL_BATCH as u64) as usize);
                let mut all = BytesMut::with_capacity(room.max(first.len() + piece.len()));
                all.extend_from_slice(&first);
                all.extend_from_slice(&piece);
                Self::Many(all)
            }
            Self::Many(mut all) => {
                all.extend_from_slice(&piece);
                Self::Many(all)
            }
        };
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(piece) => piece.len(),
            Self::Many(all) => all.len(),
        }
    }

    fn take(&mut self) -> Bytes {
        match std::mem::take(self) {
            Self::Nothing => Bytes::new(),
            Self::One(piece) => piece,
            Self::Many(all) => all.freeze(),
        }
    }
}

/// Appends to the temporary file, off the I/O thread. The upload waits meanwhile, and with it the client.
async fn write_out(file: Option<File>, bytes: Bytes) -> Result<File, Refusal> {
    let written = tokio::task::spawn_blocking(move || -> io::Result<File> {
        let mut file = file.map_or_else(tempfile::tempfile, Ok)?;
        file.write_all(&bytes)?;
        Ok(file)
    });
    match written.await {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(_)) | Err(_) => Err(Refusal::closing(StatusCode::INSUFFICIENT_STORAGE)),
    }
}

// ===== response =====

/// A response body.
#[derive(Debug)]
pub enum ResponseBody {
    /// No bytes.
    Empty,
    /// All of it; most responses.
    Full(Bytes),
    /// As the app produces it.
    Stream(BodyReceiver),
    /// A file's bytes, read by the server.
    File(FileBody),
}

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
        if state.bytes > 0 && state.bytes + chunk.len() > STREAM_WINDOW {
            state.senders.push(waker.clone());
            return Err(SendError::Full(chunk));
        }
        state.bytes += chunk.len();
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

/// The app did not finish the body it began, or the file could not be read to its end.
#[derive(Debug)]
pub struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response body ended before it was whole")
    }
}

impl std::error::Error for Aborted {}

impl BodyReceiver {
    /// The next chunk; `None` after a finished body.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Aborted>>> {
        let mut state = lock(&self.0);
        let Some(chunk) = state.chunks.pop_front() else {
            return match state.end {
                End::Finished => Poll::Ready(None),
                End::Aborted => Poll::Ready(Some(Err(Aborted))),
                End::Open => {
                    state.reader = Reader::Waiting(cx.waker().clone());
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
    use crate::wake::Sleeper;
    use http_body_util::Full;

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

    fn limits(memory: usize, body: Option<u64>) -> Limits {
        Limits { body_memory: memory, body, ..Limits::default() }
    }

    fn chunked(pieces: &[&'static str]) -> Scripted {
        Scripted(pieces.iter().map(|piece| Bytes::from(*piece)).collect())
    }

    /// A body of unannounced length that is all there already.
    struct Scripted(VecDeque<Bytes>);

    impl Body for Scripted {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(http_body::Frame::data(piece))))
        }
    }

    #[tokio::test]
    async fn keeps_a_small_body_in_memory() {
        let body = RequestBody::receive(chunked(&["ab", "cd", "e"]), limits(10, None), None).await.unwrap();
        assert!(matches!(body, RequestBody::Memory(bytes) if bytes == "abcde"));
        let body = RequestBody::receive(chunked(&[]), limits(10, None), None).await.unwrap();
        assert!(matches!(body, RequestBody::Empty));
    }

    #[tokio::test]
    async fn spools_a_large_body_to_a_file() {
        let body = RequestBody::receive(chunked(&["abcd", "efgh", "ij"]), limits(5, None), None).await.unwrap();
        let RequestBody::File { mut file, len } = body else { panic!("{body:?}") };
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), len), ("abcdefghij", 10));
    }

    #[tokio::test]
    async fn refuses_a_body_over_the_limit_whether_announced_or_not() {
        let announced = Full::new(Bytes::from("abcdef"));
        let refusal = RequestBody::receive(announced, limits(10, Some(5)), None).await.unwrap_err();
        assert_eq!(refusal.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let refusal = RequestBody::receive(chunked(&["abc", "def"]), limits(10, Some(5)), None).await.unwrap_err();
        assert_eq!(refusal.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_on_a_body_that_stops_arriving() {
        let refusal = RequestBody::receive(Silent, limits(10, None), Some(Duration::from_secs(3))).await.unwrap_err();
        assert_eq!(refusal.status(), StatusCode::REQUEST_TIMEOUT);
    }

    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
            Poll::Pending
        }
    }

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
        let mut last = None;
        while let Some(chunk) = poll_fn(|cx| short.poll_next(cx)).await {
            let failed = chunk.is_err();
            last = Some(chunk);
            if failed {
                break;
            }
        }
        assert!(last.unwrap().is_err());
    }
}
