//! A response that the app writes itself, as HTTP/1, because it has hijacked what it takes for a connection. Where that is a stream
//! of HTTP/2, its bytes are read here and sent as that stream's head and data: 101 is 200 there (RFC 8441 §5), chunks are
//! taken apart, and what belongs to a connection of HTTP/1 is left out. Pure: bytes in, parts out.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{
    body::{BadChunks, Dechunker},
    hop_by_hop,
};

/// How long a head may be, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;
/// How many fields it may have.
const MOST_FIELDS: usize = 256;

/// What the client has asked for on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The content of a resource.
    Content,
    /// What a response would say of the content, without the content: HEAD.
    HeadOnly,
    /// Another protocol, by an extended CONNECT (RFC 8441 §4): after the head the app and the client speak that.
    Protocol,
}

/// A part of the response, in the order in which the app writes them.
#[derive(Debug)]
pub(crate) enum Written {
    /// An interim response ahead of the final one.
    Interim(StatusCode, HeaderMap),
    /// The final head. `over`: nothing follows.
    Head { status: StatusCode, headers: HeaderMap, over: bool },
    /// Bytes of the content, or of the other protocol; never none.
    Data(Bytes),
}

/// Why what the app has written cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// It does not begin with the head of an HTTP/1 response.
    NoHead,
    /// It changes to a protocol that the client has not asked for.
    Unasked,
    /// It says that it is in chunks, and is not.
    NotInChunks(BadChunks),
    /// It has ended before it was whole.
    Unfinished,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHead => f.write_str("it does not begin with the head of an HTTP/1 response"),
            Self::Unasked => f.write_str("it changes the protocol, and the client has not asked for that"),
            Self::NotInChunks(bad) => bad.fmt(f),
            Self::Unfinished => f.write_str("it ended before it was whole"),
        }
    }
}

impl std::error::Error for Unsendable {}

/// Reads what the app writes, in pieces that are divided anywhere.
#[derive(Debug)]
pub(crate) struct WrittenResponse {
    asked: Asked,
    expected: Expected,
}

/// What comes next.
#[derive(Debug)]
enum Expected {
    /// A head, of which this has come.
    Head(BytesMut),
    /// What is sent as it is, up to the app's end.
    Raw,
    /// So many bytes of content.
    Content(u64),
    Chunks(Dechunker),
    /// Nothing. What comes is left out.
    Nothing,
}

impl WrittenResponse {
    pub(crate) fn new(asked: Asked) -> Self {
        Self { asked, expected: Expected::Head(BytesMut::new()) }
    }

    /// Reads the next piece, and calls `take` with each part that is in it. What it has taken before an error was right.
    ///
    /// # Errors
    ///
    /// [`Unsendable`], but for `Unfinished`.
    pub(crate) fn read(&mut self, mut piece: Bytes, mut take: impl FnMut(Written)) -> Result<(), Unsendable> {
        while let Expected::Head(held) = &mut self.expected {
            held.extend_from_slice(&piece);
            piece = Bytes::new();
            let Some(head) = Head::parse(held)? else { return Ok(()) };
            if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
                take(Written::Interim(head.status, head.headers));
                continue;
            }
            piece = std::mem::take(held).freeze();
            let (status, headers, expected) = self.begin(head)?;
            self.expected = expected;
            take(Written::Head { status, headers, over: matches!(self.expected, Expected::Nothing) });
        }
        if piece.is_empty() {
            return Ok(());
        }
        match &mut self.expected {
            Expected::Head(_) | Expected::Nothing => {}
            Expected::Raw => take(Written::Data(piece)),
            Expected::Content(left) => {
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
                if !piece.is_empty() {
                    take(Written::Data(piece));
                }
            }
            Expected::Chunks(chunks) => {
                chunks.decode(piece, |content| take(Written::Data(content))).map_err(Unsendable::NotInChunks)?;
            }
        }
        Ok(())
    }

    /// Whether all of the response has been read, so that the stream can end although the app keeps its socket.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.expected {
            Expected::Head(_) | Expected::Raw => false,
            Expected::Nothing => true,
            Expected::Content(left) => *left == 0,
            Expected::Chunks(chunks) => chunks.finish().is_ok(),
        }
    }

    /// Says that the app writes nothing more.
    ///
    /// # Errors
    ///
    /// When something is missing.
    pub(crate) fn finish(&self) -> Result<(), Unsendable> {
        match &self.expected {
            Expected::Raw => Ok(()),
            Expected::Head(held) if !held.is_empty() => Err(Unsendable::NoHead),
            _ if self.is_whole() => Ok(()),
            _ => Err(Unsendable::Unfinished),
        }
    }

    /// The head as the stream has it, and what follows it.
    fn begin(&self, head: Head) -> Result<(StatusCode, HeaderMap, Expected), Unsendable> {
        let Head { status, mut headers } = head;
        let chunked = is_chunked(&headers);
        hop_by_hop::remove(&mut headers);
        let switches = status == StatusCode::SWITCHING_PROTOCOLS;
        match self.asked {
            Asked::Protocol if switches => {
                // HTTP/2 proves nothing by it (RFC 8441 §5).
                headers.remove(header::SEC_WEBSOCKET_ACCEPT);
                headers.remove(header::CONTENT_LENGTH);
                return Ok((StatusCode::OK, headers, Expected::Raw));
            }
            // To the client it would say that the app speaks the protocol from here on.
            Asked::Protocol if status.is_success() => {
                return Ok((StatusCode::NOT_IMPLEMENTED, HeaderMap::new(), Expected::Nothing));
            }
            Asked::Content | Asked::HeadOnly if switches => return Err(Unsendable::Unasked),
            _ => {}
        }
        let bodiless = self.asked == Asked::HeadOnly || matches!(status.as_u16(), 204 | 205 | 304);
        let expected = if bodiless {
            Expected::Nothing
        } else if chunked {
            headers.remove(header::CONTENT_LENGTH);
            Expected::Chunks(Dechunker::default())
        } else {
            match content_length(&headers)? {
                Some(0) => Expected::Nothing,
                Some(length) => Expected::Content(length),
                None => Expected::Raw,
            }
        };
        Ok((status, headers, expected))
    }
}

/// A head of HTTP/1.
struct Head {
    status: StatusCode,
    headers: HeaderMap,
}

impl Head {
    /// Takes a head off the front of `held`; `None` where it is not whole.
    fn parse(held: &mut BytesMut) -> Result<Option<Self>, Unsendable> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut fields);
        let length = match parsed.parse(held) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if held.len() <= LONGEST_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(Unsendable::NoHead),
        };
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Unsendable::NoHead)?;
        let mut headers = HeaderMap::with_capacity(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Unsendable::NoHead)?;
            // HTTP/2 allows no blanks around a value (RFC 9113 §8.2.1), and they are no part of it (RFC 9110 §5.5).
            let value = HeaderValue::from_bytes(field.value.trim_ascii()).map_err(|_| Unsendable::NoHead)?;
            headers.append(name, value);
        }
        held.advance(length);
        Ok(Some(Self { status, headers }))
    }
}

fn is_chunked(headers: &HeaderMap) -> bool {
    hop_by_hop::tokens(headers, header::TRANSFER_ENCODING).any(|coding| coding.eq_ignore_ascii_case("chunked"))
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Unsendable> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    let digits = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (digits.and_then(|text| text.parse().ok()), lengths.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(Unsendable::NoHead),
    }
}

#[cfg(test)]
mod tests;
