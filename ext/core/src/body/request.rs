//! A request body: received whole before the app is called, in memory or in an unlinked file, so that a slow upload
//! costs the app nothing.

use std::{
    fs::File,
    future::poll_fn,
    io::{self, Seek, Write},
    pin::Pin,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body;

use super::Feed;
use crate::{config::Limits, response::Refusal};

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
    /// Still arriving, for an app that wants it so.
    Stream(Feed),
}

/// How much of an upload is gathered before it is written to the file in one call.
const SPOOL_BATCH: usize = 256 * 1024;

impl RequestBody {
    /// Lets the app have `incoming` while it arrives. `asked_for` is whether the client waits to be asked.
    ///
    /// # Errors
    ///
    /// 413 when it is known to be longer than [`Limits::body`].
    pub(crate) fn stream<B>(
        incoming: B,
        limits: Limits,
        patience: Option<Duration>,
        asked_for: bool,
    ) -> Result<Self, Refusal>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
    {
        check_length(&incoming, limits)?;
        Ok(Self::Stream(Feed::of(incoming, limits.body, patience, asked_for)))
    }

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
        let expected = check_length(&incoming, limits)?;
        let mut pieces = Pieces::new(incoming, limits.body, patience);
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

/// The length of a body, where it is known; one that is known to be too long is refused unread.
fn check_length<B: Body>(incoming: &B, limits: Limits) -> Result<Option<u64>, Refusal> {
    let expected = incoming.size_hint().exact();
    match (limits.body, expected) {
        (Some(limit), Some(length)) if length > limit => Err(Refusal::closing(StatusCode::PAYLOAD_TOO_LARGE)),
        _ => Ok(expected),
    }
}

/// The data frames of a body, each waited for with patience, all of them together within the limit.
pub(super) struct Pieces<B> {
    incoming: B,
    patience: Option<Duration>,
    limit: Option<u64>,
    received: u64,
}

impl<B: Body<Data = Bytes> + Unpin> Pieces<B> {
    pub(super) fn new(incoming: B, limit: Option<u64>, patience: Option<Duration>) -> Self {
        Self { incoming, patience, limit, received: 0 }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::VecDeque,
        io::Read,
        task::{Context, Poll},
    };

    use http_body_util::Full;

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
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
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
}
