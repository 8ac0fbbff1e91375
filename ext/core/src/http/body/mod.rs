//! Bodies in both directions: a request body that has arrived whole, or is arriving; a response body on its way out.

mod budget;
mod buffered;
mod chunked;
mod file;
mod gathered;
mod memory;
mod overflow;
mod pieces;
mod receiving;
mod regular;
mod request_stream;
mod response_stream;
mod spool;

use std::{collections::VecDeque, fmt};

use bytes::Bytes;

pub use self::{
    budget::Account,
    buffered::{RequestBody, Trailers},
    chunked::{BadChunks, Dechunker},
    file::FileBody,
    memory::MemoryBody,
    pieces::ReadError,
    regular::Regular,
    request_stream::{NextPiece, RequestStream},
    response_stream::{BodySender, SendError},
};
pub(crate) use self::{
    budget::Budget,
    buffered::{BodyLimits, Unreceived},
    overflow::{Failed, Overflow},
    request_stream::AbortHandle,
    response_stream::{BodyReceiver, Start, channel},
    spool::Spool,
};

/// A response body.
#[derive(Debug)]
pub enum ResponseBody {
    /// No bytes.
    Empty,
    /// All of it; most responses.
    Full(Bytes),
    /// All of it, in several pieces; none of them is empty.
    Parts(VecDeque<Bytes>),
    /// As the app produces it.
    Stream(BodyReceiver),
    /// A file's bytes, read by the server.
    File(FileBody),
}

impl ResponseBody {
    /// Its length, where that is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Parts(parts) => Some(parts.iter().map(|part| part.len() as u64).sum()),
            Self::File(file) => Some(file.len()),
            Self::Stream(_) => None,
        }
    }

    /// Whether nothing of it is to come.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Parts(parts) => parts.is_empty(),
            Self::File(file) => file.is_empty(),
            Self::Stream(_) => false,
        }
    }
}

impl From<Vec<Bytes>> for ResponseBody {
    fn from(mut parts: Vec<Bytes>) -> Self {
        parts.retain(|part| !part.is_empty());
        match parts.len() {
            0 => Self::Empty,
            1 => Self::Full(parts.remove(0)),
            _ => Self::Parts(parts.into()),
        }
    }
}

/// The app did not finish the body it began, or the file could not be read to its end.
#[derive(Debug)]
pub(crate) struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response body ended before it was whole")
    }
}

impl std::error::Error for Aborted {}
