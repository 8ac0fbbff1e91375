//! The headers of a response, as a Ruby hash or a list of pairs: those that are sent, and those that are for the server.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use magnus::{Error, RArray, RHash, Ruby, TryConvert, Value, prelude::*, r_hash::ForEach};
use tidegate_core::MOST_HEADER_NAMES;

use crate::{
    error,
    rack::response::{describe, invalid, string},
};

/// The values of response headers that are for the server, and not for the client.
#[derive(Default)]
pub(crate) struct ForServer {
    /// `rack.hijack`
    pub(crate) hijack: Option<Value>,
    /// `rack.protocol`
    pub(crate) protocol: Option<Value>,
}

/// Reads the headers that the app has returned.
///
/// # Errors
///
/// `TypeError` for what cannot be sent, and what the app's own objects raise.
pub(crate) fn read(ruby: &Ruby, value: Value) -> Result<(HeaderMap, ForServer), Error> {
    let mut headers = HeaderMap::new();
    let mut for_server = ForServer::default();
    match hash_of(value)? {
        Some(hash) => {
            // There is room for the two that the server adds.
            headers.try_reserve((hash.len() + 2).min(MOST_HEADER_NAMES)).map_err(|_| too_many(ruby))?;
            hash.foreach(|key: Value, value: Value| {
                error::catching(ruby, || add_header(ruby, &mut headers, &mut for_server, key, value))?;
                Ok(ForEach::Continue)
            })?;
        }
        None => {
            for pair in value.funcall::<_, _, Value>("to_enum", ())?.funcall::<_, _, RArray>("to_a", ())? {
                let (key, value) = <(Value, Value)>::try_convert(pair)?;
                add_header(ruby, &mut headers, &mut for_server, key, value)?;
            }
        }
    }
    check_length(ruby, &headers)?;
    Ok((headers, for_server))
}

/// The headers as a hash, and `None` for a list of pairs, which may have a name twice. Rack 2 allows every object with an `each`
/// that yields pairs.
fn hash_of(value: Value) -> Result<Option<RHash>, Error> {
    match RHash::from_value(value) {
        Some(hash) => Ok(Some(hash)),
        None if RArray::from_value(value).is_some() => Ok(None),
        None => value.check_funcall("to_h", ()).transpose(),
    }
}

/// A length that clients may read differently would divide the connection's messages differently (RFC 9112 §6.3).
fn check_length(ruby: &Ruby, headers: &HeaderMap) -> Result<(), Error> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(()) };
    let text = length.as_bytes();
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let fits = length.to_str().is_ok_and(|text| text.parse::<u64>().is_ok());
    if is_number && fits && lengths.next().is_none() {
        return Ok(());
    }
    let all: Vec<_> = headers.get_all(header::CONTENT_LENGTH).iter().collect();
    Err(invalid(ruby, format!("the app returned the content-length {all:?}, which is no number of bytes")))
}

fn add_header(
    ruby: &Ruby,
    headers: &mut HeaderMap,
    for_server: &mut ForServer,
    key: Value,
    value: Value,
) -> Result<(), Error> {
    let text = string(key)?.to_bytes();
    // These are never sent.
    if text.starts_with(b"rack.") {
        match &text[..] {
            b"rack.hijack" if !value.is_nil() => for_server.hijack = Some(value),
            b"rack.protocol" if !value.is_nil() => for_server.protocol = Some(value),
            _ => {}
        }
        return Ok(());
    }
    let name = HeaderName::from_bytes(&text).map_err(|_| {
        invalid(ruby, format!("the app returned a header named {}, which is not a token", describe(key)))
    })?;
    if is_of_the_connection(&name) {
        return Ok(());
    }
    match RArray::from_value(value) {
        None => add_values(ruby, headers, &name, value),
        Some(values) => values.into_iter().try_for_each(|value| add_values(ruby, headers, &name, value)),
    }
}

/// Fields that say how long a connection is kept, which the server decides: an app would promise what does not come true. They
/// belong to one connection, and not to the response (RFC 9110 §7.6.1).
fn is_of_the_connection(name: &HeaderName) -> bool {
    matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Adds a value, or several that newlines divide, as Rack 2 has it.
fn add_values(ruby: &Ruby, headers: &mut HeaderMap, name: &HeaderName, value: Value) -> Result<(), Error> {
    if value.is_nil() {
        return Ok(());
    }
    let text = string(value)?.to_bytes();
    let mut add = |line: Bytes| {
        let line = line.slice_ref(without_blanks(&line));
        let line = HeaderValue::from_maybe_shared(line).map_err(|_| {
            invalid(
                ruby,
                format!(
                    "the app returned the header {:?} with control characters in its value {}",
                    name.as_str(),
                    describe(value)
                ),
            )
        })?;
        if headers.keys_len() >= MOST_HEADER_NAMES && !headers.contains_key(name) {
            return Err(too_many(ruby));
        }
        headers.try_append(name, line).map(drop).map_err(|_| too_many(ruby))
    };
    if !text.contains(&b'\n') {
        return add(text);
    }
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).try_for_each(|line| add(text.slice_ref(line)))
}

/// A value without the blanks around it: they are no part of it (RFC 9110 §5.5), and clients of HTTP/2 may end the connection for
/// them (RFC 9113 §8.2.1).
fn without_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The error for more headers than hyper takes.
pub(crate) fn too_many(ruby: &Ruby) -> Error {
    invalid(ruby, format!("the app returned headers of more than {MOST_HEADER_NAMES} names"))
}
