//! The head of a request, read line by line as it arrives: what is refused, and how the body is framed.

use memchr::memchr2;

use super::{
    HeadLimits,
    request_line::{RequestLine, Rewritten},
    token::{is_control, is_token},
};
use crate::stats::refused::Refused;

/// The longest field name that hyper accepts.
const LONGEST_NAME: usize = (u16::MAX - 1) as usize;

/// How the body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunks,
}

/// A head that is whole and may pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Its length in bytes.
    pub(crate) length: usize,
    pub(crate) body: Framing,
    pub(crate) fields: usize,
    /// What hyper gets in its place, where it may not have it as it is.
    pub(crate) rewritten: Option<Rewritten>,
}

/// How far a head has been read.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the first line begins that is not whole.
    line: usize,
    /// Up to where the bytes were searched for its end.
    seen: usize,
    fields: usize,
    request: Option<RequestLine>,
    length: Option<u64>,
    chunked: bool,
}

impl Scan {
    /// Reads on. `bytes` are all there are, from the head's start.
    pub(super) fn read(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<Whole>, Refused> {
        if self.line == 0 {
            check_beginning(bytes)?;
        }
        while let Some(end) = memchr2(b'\r', b'\n', &bytes[self.seen..]) {
            let end = self.seen + end;
            // A line ends with both of them, and neither is anywhere else.
            if bytes[end] == b'\n' {
                return Err(Refused::Malformed);
            }
            match bytes.get(end + 1) {
                Some(b'\n') => {}
                Some(_) => return Err(Refused::Malformed),
                None => {
                    self.seen = end;
                    break;
                }
            }
            let next = end + 2;
            if next > limits.bytes {
                return Err(self.too_large());
            }
            let line = &bytes[self.line..end];
            match (&self.request, line.is_empty()) {
                (Some(request), true) => return self.finish(*request, bytes, next, limits).map(Some),
                // Some clients end a body with an empty line too many (RFC 9112 §2.2).
                (None, true) => {}
                (None, false) => self.request = Some(RequestLine::read(line, self.line)?),
                (Some(_), false) => self.field(line, limits)?,
            }
            (self.line, self.seen) = (next, next);
        }
        if bytes.len() > limits.bytes {
            return Err(self.too_large());
        }
        self.seen = if bytes.last() == Some(&b'\r') { bytes.len() - 1 } else { bytes.len() };
        Ok(None)
    }

    fn too_large(&self) -> Refused {
        if self.request.is_some() { Refused::HeadTooLarge } else { Refused::TargetTooLong }
    }

    /// One field: `name: value`.
    fn field(&mut self, line: &[u8], limits: HeadLimits) -> Result<(), Refused> {
        let colon = line.iter().position(|byte| !is_token(*byte)).filter(|colon| *colon > 0 && line[*colon] == b':');
        let colon = colon.ok_or(Refused::Malformed)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        // Without a branch for each byte, so that the compiler vectorizes the loop.
        if value.iter().fold(false, |found, byte| found | is_control(*byte)) {
            return Err(Refused::Malformed);
        }
        self.fields += 1;
        if self.fields > limits.fields || name.len() > LONGEST_NAME {
            return Err(Refused::HeadTooLarge);
        }
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value.trim_ascii()),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value.trim_ascii()),
            _ => Ok(()),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refused> {
        // Many proxies keep it in a signed number of 64 bits.
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
        match number {
            Some(number) if digits && self.length.is_none() => {
                self.length = Some(number.unsigned_abs());
                Ok(())
            }
            _ => Err(Refused::Malformed),
        }
    }

    /// A second field is never right, because the first must have named `chunked`, which is the last coding there may be.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refused> {
        if self.chunked {
            return Err(Refused::Malformed);
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        let mut codings: Vec<_> = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
        let chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let proper = |coding: &&[u8]| !coding.is_empty() && coding.iter().all(|byte| is_token(*byte));
        let last = codings.pop().is_some_and(|last| chunked(&last));
        let unknown = last && codings.iter().all(proper) && !codings.iter().any(chunked);
        Err(if unknown { Refused::Unsupported } else { Refused::Malformed })
    }

    /// The head is whole, and `length` bytes.
    fn finish(&self, request: RequestLine, bytes: &[u8], length: usize, limits: HeadLimits) -> Result<Whole, Refused> {
        let body = match (self.chunked, self.length) {
            // Two framings at once are an attack or a fault, and HTTP/1.0 knows no chunks.
            (true, Some(_)) => return Err(Refused::Malformed),
            (true, None) if request.is_http_1_0() => return Err(Refused::Malformed),
            (true, None) => Framing::Chunks,
            (false, None | Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        let rewritten = if request.is_to_be_rewritten() {
            let rewritten = request.rewrite(&bytes[..length])?;
            if rewritten.head.len() > limits.bytes {
                return Err(Refused::HeadTooLarge);
            }
            Some(rewritten)
        } else {
            None
        };
        Ok(Whole { length, body, fields: self.fields, rewritten })
    }
}

/// Refuses what cannot become a request before a whole line of it has come.
fn check_beginning(bytes: &[u8]) -> Result<(), Refused> {
    match bytes {
        [] | [b'\r' | 0x16] => Ok(()),
        // A record of a TLS handshake, of any version there has been.
        [0x16, 0x03, ..] => Err(Refused::Tls),
        [b'\r', ..] => Ok(()),
        [first, ..] if is_token(*first) => Ok(()),
        _ => Err(Refused::Malformed),
    }
}
