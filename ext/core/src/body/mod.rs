//! Bodies in both directions: a request body that has arrived whole, or is arriving; a response body on its way out.

mod feed;
mod file;
mod request;
mod spool;
mod stream;

use std::fmt;

use bytes::Bytes;

pub(crate) use self::feed::Breaker;
pub use self::{
    feed::{Breach, Fed, Feed},
    file::FileBody,
    request::RequestBody,
    stream::{BodyReceiver, BodySender, SendError, channel},
};

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

/// The app did not finish the body it began, or the file could not be read to its end.
#[derive(Debug)]
pub struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response body ended before it was whole")
    }
}

impl std::error::Error for Aborted {}
