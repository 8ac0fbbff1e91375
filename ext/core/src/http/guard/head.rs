//! The head of a request, read line by line as it arrives: what is refused, how the body is framed, what is rewritten.

use bytes::Bytes;
use http::Uri;
use memchr::memchr2;

use super::HeadLimits;
use crate::stats::refused::Refused;

/// What hyper takes for a target.
const LONGEST_TARGET: usize = (u16::MAX - 1) as usize;
/// What hyper takes for a field's name.
const LONGEST_NAME: usize = (u16::MAX - 1) as usize;
/// How much of a request line is kept for the log.
const SHOWN: usize = 512;

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
    /// How many of the bytes it is.
    pub(crate) length: usize,
    pub(crate) body: Framing,
    pub(crate) fields: usize,
    /// What hyper gets in its place, where it may not have it as it is.
    pub(crate) rewritten: Option<Rewritten>,
}

/// A head in another form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) head: Bytes,
    /// The target as the client sent it, where it had to be encoded.
    pub(crate) target: Option<RawTarget>,
}

/// A target with bytes that hyper does not take, as the client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTarget {
    target: Bytes,
    /// Where the path begins: at 0, but in an absolute target.
    path: usize,
}

impl RawTarget {
    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.target
    }

    /// The path, and the query where there is a question mark.
    pub fn path_and_query(&self) -> (&[u8], Option<&[u8]>) {
        let all = &self.target[self.path..];
        let (path, query) = match memchr::memchr(b'?', all) {
            Some(mark) => (&all[..mark], Some(&all[mark + 1..])),
            None => (all, None),
        };
        (if path.is_empty() { b"/" } else { path }, query)
    }
}

/// How far a head has been read.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the first line begins that is not whole.
    line: usize,
    /// Up to where there is no end of it.
    seen: usize,
    fields: usize,
    request: Option<RequestLine>,
    length: Option<u64>,
    chunked: bool,
}

/// What was found in the request line. Positions count from the head's start.
#[derive(Clone, Copy, Debug)]
struct RequestLine {
    target: (usize, usize),
    /// Where the digit behind `HTTP/1.` is.
    minor: usize,
    http_1_0: bool,
    /// The target has bytes that hyper does not take.
    encode: bool,
    /// The version is to be called 1.1.
    rename: bool,
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
        // Without a branch for each byte: a loop that the compiler makes wide.
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
        // As a signed number it has 64 bits for many on the way.
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

    /// A second one is never right, because the first has to be chunks already.
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
            (true, None) if request.http_1_0 => return Err(Refused::Malformed),
            (true, None) => Framing::Chunks,
            (false, None | Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        let rewritten = if request.encode || request.rename {
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

/// What cannot become a request is refused before there is a whole line of it.
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

impl RequestLine {
    /// Reads `METHOD target HTTP/1.x`, which begins at `start`.
    fn read(line: &[u8], start: usize) -> Result<Self, Refused> {
        let blank = line.iter().position(|byte| !is_token(*byte)).filter(|blank| *blank > 0 && line[*blank] == b' ');
        let target_at = blank.ok_or(Refused::Malformed)? + 1;
        let mut kinds = 0;
        let length = line[target_at..].iter().position(|byte| {
            kinds |= TARGET[usize::from(*byte)];
            *byte == b' '
        });
        // The blank itself is no target byte, and ends it.
        let length = length.filter(|length| *length > 0 && kinds & FORBIDDEN == 0).ok_or(Refused::Malformed)?;
        let version = &line[target_at + length + 1..];
        let (http_1_0, rename) = match version {
            b"HTTP/1.1" => (false, false),
            b"HTTP/1.0" => (true, false),
            // Whatever it can do beyond 1.1, it understands 1.1 (RFC 9110 §2.5).
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => (false, true),
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if *major != b'1' && major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Refused::Version);
            }
            _ => return Err(Refused::Malformed),
        };
        if length > LONGEST_TARGET {
            return Err(Refused::TargetTooLong);
        }
        // It asks for a proxy, and has a target of its own kind.
        if &line[..target_at] == b"CONNECT " {
            return Err(Refused::Unsupported);
        }
        let target = (start + target_at, start + target_at + length);
        let request = Self { target, minor: start + line.len() - 1, http_1_0, encode: kinds & ENCODED != 0, rename };
        Self::check_form(&line[target_at..target_at + length])?;
        Ok(request)
    }

    /// A target that is no path: `*`, or a URL of HTTP.
    fn check_form(target: &[u8]) -> Result<(), Refused> {
        if target[0] == b'/' || target == b"*" {
            return Ok(());
        }
        // hyper reads it once more; what it would refuse is refused here, with a trace.
        let proper = path_of_absolute(target).is_some_and(|path| Uri::try_from(&target[..path]).is_ok());
        if proper { Ok(()) } else { Err(Refused::Malformed) }
    }

    /// The head with the target encoded and the version that hyper knows.
    fn rewrite(&self, head: &[u8]) -> Result<Rewritten, Refused> {
        let (from, to) = self.target;
        let target = &head[from..to];
        let mut bytes = Vec::with_capacity(head.len() + 64);
        bytes.extend_from_slice(&head[..from]);
        if self.encode {
            target.iter().for_each(|byte| push_encoded(*byte, &mut bytes));
            if bytes.len() - from > LONGEST_TARGET {
                return Err(Refused::TargetTooLong);
            }
        } else {
            bytes.extend_from_slice(target);
        }
        bytes.extend_from_slice(&head[to..self.minor]);
        bytes.push(if self.rename { b'1' } else { head[self.minor] });
        bytes.extend_from_slice(&head[self.minor + 1..]);
        let target = self.encode.then(|| RawTarget {
            target: Bytes::copy_from_slice(target),
            path: if target[0] == b'/' { 0 } else { path_of_absolute(target).unwrap_or(0) },
        });
        Ok(Rewritten { head: bytes.into(), target })
    }
}

/// Where the path or the query of a URL begins. There are none here but those of HTTP.
fn path_of_absolute(target: &[u8]) -> Option<usize> {
    let begins =
        |scheme: &&&[u8]| target.get(..scheme.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(scheme));
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let authority = schemes.iter().find(begins)?.len();
    let length = memchr2(b'/', b'?', &target[authority..]).unwrap_or(target.len() - authority);
    Some(authority + length)
}

fn push_encoded(byte: u8, bytes: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if TARGET[usize::from(byte)] == ENCODED {
        bytes.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    } else {
        bytes.push(byte);
    }
}

/// The first line of what was to become a head, as far as it is there, for the log; `None` where there is nothing.
pub(crate) fn request_line(bytes: &[u8]) -> Option<&[u8]> {
    let from = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let line = bytes[from..].split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    Some(&line[..line.len().min(SHOWN)])
}

// ===== bytes =====

/// Such a byte is passed on to hyper as its percent-encoding, and to the app as it came.
const ENCODED: u8 = 1;
/// Such a byte is in no target: control bytes, and `#`, which begins what a client must keep to itself.
const FORBIDDEN: u8 = 2;

static TARGET: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            // The blank behind the target is found by it.
            b' ' => 0,
            0..=0x1f | 0x7f | b'#' => FORBIDDEN,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => ENCODED,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

static TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        token[byte] = matches!(byte as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
        byte += 1;
    }
    token
};

/// Whether a method, a name and a token may have this byte (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}
