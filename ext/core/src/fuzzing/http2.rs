//! HTTP/2 as targets: the guard of frames alone, and whole connections.

use std::time::Instant;

use super::step;
use crate::{
    config::Limits,
    connection::conversation::{Conversation, converse},
    http::guard::frames::{Fault, Frames},
};

/// What a client of HTTP/2 begins with (RFC 9113 §3.4): the preface, and SETTINGS without any.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Of the head of a frame.
const HEAD: usize = 9;
/// The largest frame that the server may send to a client that has set nothing else (RFC 9113 §4.2).
const LARGEST: usize = 16_384;
const HEADERS: u8 = 1;

/// The frames of HTTP/2, from both sides: however they are divided, the guard finds the same.
pub fn frames(data: &[u8]) {
    let now = Instant::now();
    let find = |size: usize| {
        let (mut guard, mut found) = (Frames::new(now), [None, None]);
        for (side, half) in [&data[..data.len() / 2], &data[data.len() / 2..]].into_iter().enumerate() {
            for piece in half.chunks(size.max(1)) {
                let checked =
                    if side == 0 { guard.received(piece, now) } else { guard.sent(piece, now).map_err(Fault::Flood) };
                found[side] = found[side].or(checked.err());
            }
        }
        found
    };
    let whole = find(data.len());
    for size in [1, 5, 64] {
        assert_eq!(find(size), whole, "in pieces of {size}");
    }
}

/// Whole connections: the guard, h2, the app, the responses. The app gets no more requests than the client has begun; the client
/// gets whole frames of a size that it takes, SETTINGS first, and then the end.
pub fn http2(data: &[u8]) {
    let limits = Limits { stream_input: data.len() % 2 == 1, ..Limits::default() };
    let mut pieces = vec![OPENING];
    pieces.extend(data.chunks(step(data)));
    let Conversation { heard, answered, waits, .. } = converse(&pieces, true, limits);
    assert!(!waits, "the server waits for a client that has ended: {}", answered.escape_ascii());
    let begun = kinds(data).filter(|kind| *kind == HEADERS).count();
    assert!(heard.len() <= begun, "the app got {heard:?} of {begun} requests");

    let mut rest = answered.as_slice();
    while let [high, mid, low, ..] = rest {
        let length = u32::from_be_bytes([0, *high, *mid, *low]) as usize;
        assert!(length <= LARGEST, "a frame of {length} bytes");
        // The client that has gone does not get the rest of what was being sent.
        rest = rest.get(HEAD + length..).unwrap_or_default();
    }
    assert!(kinds(&answered).next().is_none_or(|kind| kind == 4), "{}", answered.escape_ascii());
}

/// The types of the frames, to the last that is whole.
fn kinds(mut bytes: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let [high, mid, low, kind, ..] = bytes else { return None };
        let length = u32::from_be_bytes([0, *high, *mid, *low]) as usize;
        bytes = bytes.get(HEAD + length..)?;
        Some(*kind)
    })
}
