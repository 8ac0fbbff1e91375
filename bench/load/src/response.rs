//! Where a response ends: its head, then a body of known length, in chunks, or up to the end of the connection.

/// What is known of a response that may be incomplete.
#[derive(Debug, Default)]
pub(crate) struct Response {
    head: Vec<u8>,
    status: u16,
    close: bool,
    body: Body,
}

#[derive(Debug, Default)]
enum Body {
    /// The head is not complete.
    #[default]
    Unknown,
    Length(u64),
    Chunked(Chunk),
    UntilClose,
}

#[derive(Debug)]
enum Chunk {
    /// In the line with the size; the digits so far, and whether they are over.
    Size { size: u64, over: bool },
    /// In the data, and the line end after it: bytes left.
    Data(u64),
    /// In the lines after the last chunk; whether the present line is empty.
    Trailer { empty: bool },
}

/// A whole response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    /// Whether the connection cannot be used again.
    pub(crate) close: bool,
}

/// Why bytes are no response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

const LONGEST_HEAD: usize = 64 * 1024;

impl Response {
    /// Takes bytes as they come; the response once it is whole. What follows it is an error.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Option<Whole>, Malformed> {
        if !matches!(self.body, Body::Unknown) {
            return self.read_body(bytes);
        }
        // Most heads come in one piece, which needs no copy.
        if self.head.is_empty() {
            return self.begin(bytes);
        }
        let mut joined = std::mem::take(&mut self.head);
        joined.extend_from_slice(bytes);
        self.begin(&joined)
    }

    /// Takes all that there is of a response, after a part of its head.
    fn begin(&mut self, bytes: &[u8]) -> Result<Option<Whole>, Malformed> {
        let Some(length) = self.read_head(bytes)? else {
            if bytes.len() > LONGEST_HEAD {
                return Err(Malformed);
            }
            self.head = bytes.to_vec();
            return Ok(None);
        };
        if (100..200).contains(&self.status) {
            *self = Response::default();
            return self.begin(&bytes[length..]);
        }
        self.read_body(&bytes[length..])
    }

    /// The connection has ended: a response may end with it.
    pub(crate) fn end(&mut self) -> Option<Whole> {
        matches!(self.body, Body::UntilClose).then(|| self.whole())
    }

    /// Its length, once it is complete.
    fn read_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = parsed.parse(bytes).map_err(|_| Malformed)? else { return Ok(None) };
        self.status = parsed.code.unwrap_or(0);
        self.close = parsed.version == Some(0);
        self.body = if matches!(self.status, 204 | 304) { Body::Length(0) } else { Body::UntilClose };
        for header in parsed.headers.iter() {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("content-length") {
                let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)?;
                self.body = Body::Length(length);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case(b"chunked") {
                self.body = Body::Chunked(Chunk::Size { size: 0, over: false });
            } else if header.name.eq_ignore_ascii_case("connection") {
                self.close = value.eq_ignore_ascii_case(b"close") || (self.close && !is_keep_alive(value));
            }
        }
        Ok(Some(length))
    }

    fn read_body(&mut self, bytes: &[u8]) -> Result<Option<Whole>, Malformed> {
        match &mut self.body {
            Body::Unknown | Body::UntilClose => Ok(None),
            Body::Length(left) => match (bytes.len() as u64).cmp(left) {
                std::cmp::Ordering::Less => {
                    *left -= bytes.len() as u64;
                    Ok(None)
                }
                std::cmp::Ordering::Equal => Ok(Some(self.whole())),
                std::cmp::Ordering::Greater => Err(Malformed),
            },
            Body::Chunked(chunk) => {
                let over = read_chunks(chunk, bytes)?;
                Ok(over.then(|| self.whole()))
            }
        }
    }

    fn whole(&self) -> Whole {
        Whole { status: self.status, close: self.close || matches!(self.body, Body::UntilClose) }
    }
}

fn is_keep_alive(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive")
}

/// Whether the last chunk and its trailer have ended, exactly with these bytes.
fn read_chunks(chunk: &mut Chunk, bytes: &[u8]) -> Result<bool, Malformed> {
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match chunk {
            Chunk::Size { size, over } => {
                at += 1;
                match (byte, (byte as char).to_digit(16)) {
                    (b'\n', _) if *size == 0 => *chunk = Chunk::Trailer { empty: true },
                    (b'\n', _) => *chunk = Chunk::Data(*size + 2),
                    (_, Some(digit)) if !*over => {
                        *size = size.checked_mul(16).ok_or(Malformed)? + u64::from(digit);
                    }
                    (b'\r' | b';' | b' ', _) => *over = true,
                    _ if *over => {}
                    _ => return Err(Malformed),
                }
            }
            Chunk::Data(left) => {
                let taken = (*left).min((bytes.len() - at) as u64);
                at += taken as usize;
                *left -= taken;
                if *left == 0 {
                    *chunk = Chunk::Size { size: 0, over: false };
                }
            }
            Chunk::Trailer { empty } => {
                at += 1;
                match byte {
                    b'\n' if *empty => return if at == bytes.len() { Ok(true) } else { Err(Malformed) },
                    b'\n' => *empty = true,
                    b'\r' => {}
                    _ => *empty = false,
                }
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of the bytes, fed in pieces of that size.
    fn fed(bytes: &[u8], size: usize) -> Result<Option<Whole>, Malformed> {
        let mut response = Response::default();
        let mut result = None;
        for piece in bytes.chunks(size) {
            assert_eq!(result, None, "whole before its last byte");
            result = response.feed(piece)?;
        }
        Ok(result)
    }

    #[test]
    fn a_response_is_whole_at_its_last_byte_however_it_is_cut() {
        let kept = Some(Whole { status: 200, close: false });
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0010;a=b\r\n0123456789abcdef\r\n0\r\nx: y\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na",
        ] {
            for size in 1..=text.len() {
                assert_eq!(fed(text.as_bytes(), size).as_ref(), Ok(&kept), "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn it_says_when_the_connection_is_over() {
        let closes = |text: &str| fed(text.as_bytes(), 1000).unwrap().map(|whole| whole.close);
        assert_eq!(closes("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"), Some(true));
        assert_eq!(closes("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"), Some(true));
        assert_eq!(closes("HTTP/1.1 204 No Content\r\n\r\n"), Some(false));
    }

    #[test]
    fn a_response_without_a_length_ends_with_its_connection() {
        let mut response = Response::default();
        assert_eq!(response.feed(b"HTTP/1.1 200 OK\r\n\r\nsome"), Ok(None));
        assert_eq!(response.end(), Some(Whole { status: 200, close: true }));

        let mut cut = Response::default();
        assert_eq!(cut.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome"), Ok(None));
        assert_eq!(cut.end(), None);
    }

    #[test]
    fn what_is_no_response_is_malformed() {
        for text in [
            "hello",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nmore",
        ] {
            assert_eq!(fed(text.as_bytes(), 1000), Err(Malformed), "{text:?}");
        }
    }
}
