//! A request body: received whole before the app is called, in memory or in an unlinked file, so that a slow upload
//! costs the app nothing.

use std::{
    error::Error,
    fs::File,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Body;

use super::{
    Budget, RequestStream,
    pieces::{Pieces, ReadError},
    spool::{Batch, Spool},
};
use crate::{config::MinRate, http::response::Refusal};

/// The limits within which a body is received.
#[derive(Clone, Debug)]
pub(crate) struct BodyLimits {
    /// How long it may be, in bytes.
    pub(crate) http_content_length_limit: Option<u64>,
    /// How much of it stays in memory, in bytes.
    pub(crate) body_memory_limit: usize,
    /// How long each piece may be waited for.
    pub(crate) body_timeout: Option<Duration>,
    /// How fast they have to come.
    pub(crate) min_data_rate: Option<MinRate>,
    /// When it has to be whole.
    pub(crate) receive_deadline: Option<Instant>,
    /// Its bytes count against this while they are in memory.
    pub(crate) budget: Arc<Budget>,
}

#[cfg(test)]
impl BodyLimits {
    /// No limits but that of memory.
    pub(crate) fn unlimited() -> Self {
        Self {
            http_content_length_limit: None,
            body_memory_limit: 64 * 1024,
            body_timeout: None,
            min_data_rate: None,
            receive_deadline: None,
            budget: Budget::new(None),
        }
    }
}

/// A request body, complete before the request is queued, unless the app wants it while it arrives.
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
    Stream(RequestStream),
}

impl RequestBody {
    /// Lets the app have `incoming` while it arrives. `waits_for_continue`: the client sends it only after `100 Continue`.
    ///
    /// # Errors
    ///
    /// 413 when it is known to be longer than the limit.
    pub(crate) fn stream<B>(incoming: B, terms: BodyLimits, waits_for_continue: bool) -> Result<Self, Refusal>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin + Send + 'static,
    {
        check_length(&incoming, &terms)?;
        Ok(Self::Stream(RequestStream::of(incoming, terms, waits_for_continue)))
    }

    /// Receives `incoming` to its end; what is too large for memory in a file of `spool_directory`. Behind it are its trailers,
    /// where the client has sent some.
    ///
    /// # Errors
    ///
    /// 413 when it is longer than the limit, 408 when it arrives too slowly or too late, 400 when its framing
    /// is broken or the client left; what the system says when there is no room for it.
    pub(crate) async fn receive<B>(
        incoming: B,
        terms: BodyLimits,
        spool_directory: &Path,
    ) -> Result<(Self, Option<Trailers>), Unreceived>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    {
        let expected = check_length(&incoming, &terms)?;
        let memory = terms.body_memory_limit as u64;
        let mut account = terms.budget.account();
        let mut pieces = Pieces::new(incoming, &terms);
        let mut batch = Batch::default();
        let mut spool = None;
        while let Some(piece) = pieces.next().await? {
            account.grow(piece.len());
            batch.push(piece, expected.map(|length| length.saturating_sub(pieces.received())));
            // One that is known to be for the file is gathered for it from the start.
            let for_file = spool.is_some() || expected.is_some_and(|length| length > memory);
            let due = if for_file { batch.is_full() } else { pieces.received() > memory };
            if due || account.is_over() {
                spool = Some(Spool::append(spool, spool_directory, &mut batch).await?);
                account.goes_to_file(!due);
            }
        }
        let trailers = pieces.take_trailers().map(Trailers);
        if spool.is_none() && pieces.received() <= memory {
            let body = batch.into_bytes();
            let body = if body.is_empty() { Self::Empty } else { Self::Memory(account.until_dropped(body)) };
            return Ok((body, trailers));
        }
        let spool = Spool::append(spool, spool_directory, &mut batch).await?;
        Ok((Self::File { file: spool.into_file(), len: pieces.received() }, trailers))
    }
}

/// What the client has sent behind a body that has arrived whole (RFC 9110 §6.5): in the extensions of the request's head.
#[derive(Clone, Debug)]
pub struct Trailers(pub HeaderMap);

/// Why a body is not there.
#[derive(Debug)]
pub(crate) enum Unreceived {
    /// The client is told so.
    Refused(Refusal),
    /// The server could not write it to a file.
    Unwritten(io::Error),
}

impl From<Refusal> for Unreceived {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ReadError> for Unreceived {
    fn from(error: ReadError) -> Self {
        Self::Refused(error.refusal())
    }
}

impl From<io::Error> for Unreceived {
    fn from(error: io::Error) -> Self {
        Self::Unwritten(error)
    }
}

/// The length of a body, where it is known; one that is known to be too long is refused unread.
fn check_length<B: Body>(incoming: &B, terms: &BodyLimits) -> Result<Option<u64>, Refusal> {
    let expected = incoming.size_hint().exact();
    match (terms.http_content_length_limit, expected) {
        (Some(limit), Some(length)) if length > limit => Err(Refusal::closing(StatusCode::PAYLOAD_TOO_LARGE)),
        _ => Ok(expected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::VecDeque,
        io::{self, Read},
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body_util::Full;

    fn limits(memory: usize, body: Option<u64>) -> BodyLimits {
        BodyLimits { body_memory_limit: memory, http_content_length_limit: body, ..BodyLimits::unlimited() }
    }

    async fn receive<B>(incoming: B, terms: BodyLimits) -> Result<RequestBody, Unreceived>
    where
        B: Body<Data = Bytes, Error: Error + 'static> + Unpin,
    {
        RequestBody::receive(incoming, terms, &std::env::temp_dir()).await.map(|(body, _)| body)
    }

    fn status(unreceived: Unreceived) -> StatusCode {
        match unreceived {
            Unreceived::Refused(refusal) => refusal.status(),
            Unreceived::Unwritten(error) => panic!("{error}"),
        }
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
        let body = receive(chunked(&["ab", "cd", "e"]), limits(10, None)).await.unwrap();
        assert!(matches!(body, RequestBody::Memory(bytes) if bytes == "abcde"));
        let body = receive(chunked(&[]), limits(10, None)).await.unwrap();
        assert!(matches!(body, RequestBody::Empty));
    }

    #[tokio::test]
    async fn keeps_what_comes_behind_the_body() {
        for pieces in [&["ab", "cd"][..], &[]] {
            let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "1".parse().unwrap())]);
            let body = http_body_util::BodyExt::with_trailers(chunked(pieces), async move { Some(Ok(trailers)) });
            let body = http_body_util::BodyExt::boxed_unsync(body);
            let received = RequestBody::receive(body, limits(10, None), &std::env::temp_dir()).await.unwrap();
            assert_eq!(received.1.unwrap().0["x-sum"], "1");
        }
        let received = RequestBody::receive(chunked(&["ab"]), limits(10, None), &std::env::temp_dir()).await.unwrap();
        assert!(received.1.is_none());
    }

    #[tokio::test]
    async fn spools_a_large_body_to_a_file() {
        let body = receive(chunked(&["abcd", "efgh", "ij"]), limits(5, None)).await.unwrap();
        let RequestBody::File { mut file, len } = body else { panic!("{body:?}") };
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), len), ("abcdefghij", 10));
    }

    #[tokio::test]
    async fn spools_a_body_that_is_announced_as_large() {
        let announced = Full::new(Bytes::from("abcdef"));
        let body = receive(announced, limits(5, None)).await.unwrap();
        let RequestBody::File { mut file, len } = body else { panic!("{body:?}") };
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), len), ("abcdef", 6));
        let body = receive(Full::new(Bytes::from("abcde")), limits(5, None)).await.unwrap();
        assert!(matches!(body, RequestBody::Memory(bytes) if bytes == "abcde"));
    }

    #[tokio::test]
    async fn refuses_a_body_over_the_limit_whether_announced_or_not() {
        let announced = Full::new(Bytes::from("abcdef"));
        let refusal = receive(announced, limits(10, Some(5))).await.unwrap_err();
        assert_eq!(status(refusal), StatusCode::PAYLOAD_TOO_LARGE);
        let refusal = receive(chunked(&["abc", "def"]), limits(10, Some(5))).await.unwrap_err();
        assert_eq!(status(refusal), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_on_a_body_that_stops_arriving() {
        let refusal = receive(Silent, BodyLimits { body_timeout: Some(Duration::from_secs(3)), ..limits(10, None) })
            .await
            .unwrap_err();
        assert_eq!(status(refusal), StatusCode::REQUEST_TIMEOUT);
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
