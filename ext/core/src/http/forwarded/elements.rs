//! The elements of headers that are lists, from the last to the first, and the pairs in an element of `Forwarded`.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use super::Malformed;
use crate::http::guard::is_token;

/// The elements of all of a header's lines; empty ones do not count (RFC 9110 §5.6.1.2).
pub(super) fn from_the_right<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter().rev();
    let all = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    all.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The same where a quoted string may have commas in it.
pub(super) fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter().rev();
    let all = lines.flat_map(|line| Elements(Some(line.as_bytes())));
    all.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// The elements of a line. It is read from the right, so that a quote which the client has left open in its own elements swallows
/// none of those that proxies have added.
struct Elements<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0?;
        let mut quoted = false;
        for (at, byte) in line.iter().enumerate().rev() {
            match byte {
                b'"' => quoted ^= !is_escaped(&line[..at]),
                b',' if !quoted => {
                    self.0 = Some(&line[..at]);
                    return Some(&line[at + 1..]);
                }
                _ => {}
            }
        }
        self.0.take()
    }
}

/// Whether what comes behind `before` has a backslash in front of it that is not itself behind one.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// A name and its value, without the quotes.
pub(super) type NameAndValue<'a> = (&'a [u8], Cow<'a, [u8]>);

/// The pairs of an element: `for=192.0.2.1;proto=https;by="[2001:db8::1]"`.
pub(super) fn pairs(element: &[u8]) -> Result<Vec<NameAndValue<'_>>, Malformed> {
    let (mut pairs, mut rest) = (Vec::with_capacity(4), element);
    loop {
        let (name, value, behind) = pair(rest.trim_ascii_start())?;
        pairs.push((name, value));
        rest = match behind.trim_ascii_start() {
            [] => return Ok(pairs),
            [b';', behind @ ..] => behind,
            _ => return Err(Malformed),
        };
    }
}

type Pair<'a> = (&'a [u8], Cow<'a, [u8]>, &'a [u8]);

/// The first pair, and what is behind it.
fn pair(text: &[u8]) -> Result<Pair<'_>, Malformed> {
    let (name, value) = token(text);
    let value = value.strip_prefix(b"=").ok_or(Malformed)?;
    if name.is_empty() {
        return Err(Malformed);
    }
    if let Some(string) = value.strip_prefix(b"\"") {
        let (value, behind) = quoted(string)?;
        return Ok((name, value, behind));
    }
    let (value, behind) = token(value);
    if value.is_empty() { Err(Malformed) } else { Ok((name, value.into(), behind)) }
}

fn token(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len()))
}

/// A quoted string (RFC 9110 §5.6.4) behind its first quote, and what is behind it.
fn quoted(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' if value.len() == at => return Ok((text[..at].into(), &text[at + 1..])),
            b'"' => return Ok((value.into(), &text[at + 1..])),
            b'\\' => value.push(*bytes.next().ok_or(Malformed)?.1),
            byte => value.push(*byte),
        }
    }
    Err(Malformed)
}
