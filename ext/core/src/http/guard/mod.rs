//! The guard in front of hyper: what a client sends goes through it before hyper reads it. hyper takes some things that proxies
//! read differently - a line that ends with a bare LF, `chunked, chunked`, blanks behind a chunk's size - and where a proxy and
//! the server disagree about where a message ends, a request can be smuggled. The guard refuses those, and knows where each
//! message ends, as hyper does. What hyper would refuse and clients send all the same - bytes in a target that are not
//! ASCII, `HTTP/1.2` - it rewrites. A pure state machine: bytes in, decisions out. docs/http.md has the list.

mod chunks;
pub(crate) mod frames;
mod head;
mod request_line;
mod token;

pub use self::request_line::RawTarget;
use self::{chunks::Chunks, head::Scan};
pub(crate) use self::{
    head::{Framing, Whole},
    request_line::request_line,
    token::is_token,
};
use crate::stats::refused::Refused;

/// What a connection begins with that speaks HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of the beginning of HTTP/2 a connection's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preface {
    Whole,
    /// More has to come.
    Begun,
    No,
}

impl Preface {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(PREFACE) {
            Self::Whole
        } else if PREFACE.starts_with(bytes) {
            Self::Begun
        } else {
            Self::No
        }
    }
}

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadLimits {
    /// Bytes, from the request line to the empty line.
    pub(crate) bytes: usize,
    /// Header fields.
    pub(crate) fields: usize,
}

/// Where a connection is between and within its messages.
#[derive(Debug)]
pub(crate) struct Guard {
    limits: HeadLimits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A head is to come, or half here.
    Head(Scan),
    /// So many bytes of a body are to come.
    Length(u64),
    /// A body in chunks.
    Chunks(Chunks),
    /// Everything passes: the connection is the app's.
    Off,
}

impl Guard {
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self { limits, state: State::Head(Scan::default()) }
    }

    /// Lets everything pass from now on: the connection is the app's.
    pub(crate) fn lift(&mut self) {
        self.state = State::Off;
    }

    /// Whether what comes next belongs to a head.
    pub(crate) fn expects_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// Looks at all of a head that is there, `bytes`, which begin where the message does. `None` where more has to come; then
    /// the next call has the same bytes and more.
    ///
    /// # Errors
    ///
    /// Why the head is refused. The guard must not be asked again.
    pub(crate) fn head(&mut self, bytes: &[u8]) -> Result<Option<Whole>, Refused> {
        let State::Head(scan) = &mut self.state else { return Ok(None) };
        let whole = scan.read(bytes, self.limits)?;
        if let Some(whole) = &whole {
            self.state = match whole.body {
                Framing::None => State::Head(Scan::default()),
                Framing::Length(length) => State::Length(length),
                Framing::Chunks => State::Chunks(Chunks::default()),
            };
        }
        Ok(whole)
    }

    /// How many of the bytes that come next belong to the message whose head came before; where that is not all, the message
    /// ends there.
    ///
    /// # Errors
    ///
    /// When the framing of the body is broken. The guard must not be asked again.
    pub(crate) fn body(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let (taken, ended) = match &mut self.state {
            State::Head(_) => return Ok(0),
            State::Off => return Ok(bytes.len()),
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                (taken, *left == 0)
            }
            State::Chunks(chunks) => chunks.read(bytes)?,
        };
        if ended {
            self.state = State::Head(Scan::default());
        }
        Ok(taken)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod agreement;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod reading;

#[cfg(test)]
mod tests;
