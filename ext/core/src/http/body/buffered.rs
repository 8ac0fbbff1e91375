//! A request body: received whole before the app is called, in memory or in an unlinked file, so that a slow upload
//! costs the app nothing; or while it arrives.

use std::{
    error::Error,
    fs::File,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Body;

use super::{Budget, MemoryBody, ReadError, RequestStream};
use crate::{config::MinRate, http::response::Refusal};

/// The limits within which a body is received.
#[derive(Clone, Debug)]
pub(crate) struct BodyLimits {
    /// How long it may be, in bytes.
    pub(crate) http_content_length_limit: Option<u64>,
    /// How much of it stays in memory, in bytes; `None`: as much as there is room for.
    pub(crate) body_memory_limit: Option<u64>,
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
            body_memory_limit: None,
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
    /// In memory, where there was room for it.
    Memory(MemoryBody),
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
pub(super) fn check_length<B: Body>(incoming: &B, terms: &BodyLimits) -> Result<Option<u64>, Refusal> {
    let expected = incoming.size_hint().exact();
    match (terms.http_content_length_limit, expected) {
        (Some(limit), Some(length)) if length > limit => Err(Refusal::closing(StatusCode::PAYLOAD_TOO_LARGE)),
        _ => Ok(expected),
    }
}
