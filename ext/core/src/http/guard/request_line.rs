//! The request line, the first of a head: which are refused, and which are rewritten because clients send them and hyper would
//! refuse them.

use bytes::Bytes;
use http::Uri;
use memchr::memchr2;

use super::token::is_token;
use crate::stats::refused::Refused;

/// The longest target that hyper accepts.
const LONGEST_TARGET: usize = (u16::MAX - 1) as usize;
/// How much of a request line is kept for the log.
const SHOWN: usize = 512;

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

/// What was found in the request line. Positions count from the head's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine {
    target: (usize, usize),
    /// Where the digit behind `HTTP/1.` is.
    minor: usize,
    http_1_0: bool,
    /// The target has bytes that hyper does not take.
    encode: bool,
    /// The version is to be called 1.1.
    rename: bool,
}

impl RequestLine {
    /// Reads `METHOD target HTTP/1.x`, which begins at `start`.
    pub(super) fn read(line: &[u8], start: usize) -> Result<Self, Refused> {
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
            // A client of a later minor version understands 1.1 (RFC 9110 §2.5).
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
        // CONNECT is for proxies, and has a target of its own form.
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
        // What hyper would refuse when it reads the target again is refused here, so that it is counted and logged.
        let proper = path_of_absolute(target).is_some_and(|path| Uri::try_from(&target[..path]).is_ok());
        if proper { Ok(()) } else { Err(Refused::Malformed) }
    }

    /// Whether hyper may not have it as it is.
    pub(super) fn is_to_be_rewritten(&self) -> bool {
        self.encode || self.rename
    }

    pub(super) fn is_http_1_0(&self) -> bool {
        self.http_1_0
    }

    /// The head with the target encoded and the version that hyper knows.
    pub(super) fn rewrite(&self, head: &[u8]) -> Result<Rewritten, Refused> {
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
