//! What an app returns, `[status, headers, body]`, as the core sends it. What cannot be sent is the app's fault, and
//! the error says which part of it.

use std::{
    ffi::OsStr,
    os::{fd::RawFd, unix::ffi::OsStrExt},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use magnus::{Error, Integer, RArray, RHash, RString, Ruby, TryConvert, Value, prelude::*, r_hash::ForEach};
use tidegate_core::{Dechunker, FileBody, MOST_HEADER_NAMES, Regular, ResponseBody};

use crate::{
    error, gvl,
    rack::{
        lent_string::{self, Gathered},
        response_stream,
    },
};

/// Status and headers.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What the response header `rack.hijack` holds: it is called with the connection, after the head.
    pub(crate) hijack: Option<Value>,
    /// The app frames its body itself, as chunks, and has said so.
    pub(crate) chunked: bool,
}

/// The three parts an app returned.
pub(crate) struct Parts {
    pub(crate) status: Value,
    pub(crate) headers: Value,
    pub(crate) body: Value,
}

fn invalid(ruby: &Ruby, message: String) -> Error {
    Error::new(ruby.exception_type_error(), message)
}

impl Parts {
    /// Of what the app returned; where it has hijacked the connection, that may be anything.
    pub(crate) fn of(ruby: &Ruby, returned: Value, hijacked: bool) -> Result<Self, Error> {
        let array = match RArray::from_value(returned) {
            Some(array) => Some(array),
            None => returned.check_funcall::<_, _, RArray>("to_ary", ()).transpose()?,
        };
        match array {
            Some(array) if array.len() == 3 => {
                Ok(Self { status: array.entry(0)?, headers: array.entry(1)?, body: array.entry(2)? })
            }
            _ if hijacked => {
                let nil = ruby.qnil().as_value();
                Ok(Self { status: nil, headers: nil, body: nil })
            }
            _ => Err(invalid(ruby, format!("the app returned {}, not [status, headers, body]", describe(returned)))),
        }
    }

    pub(crate) fn head(&self, ruby: &Ruby) -> Result<Head, Error> {
        let (mut headers, own) = headers(ruby, self.headers)?;
        let mut status = status(ruby, self.status)?;
        if let Some(protocol) = own.protocol {
            // In HTTP/1 the protocol is changed by an upgrade (Rack SPEC, RFC 9110 §7.8).
            let name = HeaderValue::from_maybe_shared(response_stream::string(protocol)?.to_bytes()).map_err(|_| {
                invalid(ruby, format!("the app returned the rack.protocol {}, which is no name", describe(protocol)))
            })?;
            headers.try_insert(header::UPGRADE, name).map_err(|_| too_many(ruby))?;
            status = StatusCode::SWITCHING_PROTOCOLS;
        }
        // What a hijacked connection carries is the app's alone.
        let chunked = own.hijack.is_none() && take_framing(ruby, &mut headers)?;
        Ok(Head { status, headers, hijack: own.hijack, chunked })
    }
}

fn too_many(ruby: &Ruby) -> Error {
    invalid(ruby, format!("the app returned headers of more than {MOST_HEADER_NAMES} names"))
}

fn describe(value: Value) -> String {
    value.inspect().chars().take(100).collect()
}

fn status(ruby: &Ruby, value: Value) -> Result<StatusCode, Error> {
    let number = match Integer::from_value(value) {
        Some(integer) => integer,
        None => value.funcall("to_i", ())?,
    };
    let status = number.to_u16().ok().and_then(|number| StatusCode::from_u16(number).ok());
    match status {
        // 101 ends with the app's own protocol, the others come before the response.
        Some(status) if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS => Ok(status),
        _ => Err(invalid(ruby, format!("the app returned the status {}, which is no final status", describe(value)))),
    }
}

/// Response headers that are for the server, and not for the client.
#[derive(Default)]
pub(crate) struct Own {
    hijack: Option<Value>,
    protocol: Option<Value>,
}

pub(crate) fn headers(ruby: &Ruby, value: Value) -> Result<(HeaderMap, Own), Error> {
    let mut headers = HeaderMap::new();
    let mut own = Own::default();
    match hash_of(value)? {
        Some(hash) => {
            // With room for those that the server adds.
            headers.try_reserve((hash.len() + 2).min(MOST_HEADER_NAMES)).map_err(|_| too_many(ruby))?;
            hash.foreach(|key: Value, value: Value| {
                error::catching(ruby, || add_header(ruby, &mut headers, &mut own, key, value))?;
                Ok(ForEach::Continue)
            })?;
        }
        None => {
            for pair in value.funcall::<_, _, Value>("to_enum", ())?.funcall::<_, _, RArray>("to_a", ())? {
                let (key, value) = <(Value, Value)>::try_convert(pair)?;
                add_header(ruby, &mut headers, &mut own, key, value)?;
            }
        }
    }
    check_length(ruby, &headers)?;
    Ok((headers, own))
}

/// Headers as a hash. Rack 2 allows everything with an `each` that yields pairs; a list of pairs may have a name twice.
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

/// Takes the transfer-encoding that the app has set, because the server frames messages itself. Whether the body is in chunks.
///
/// Other codings than `chunked` are refused: a client would have to ask for them (RFC 9112 §7), and none does.
fn take_framing(ruby: &Ruby, headers: &mut HeaderMap) -> Result<bool, Error> {
    if !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(false);
    }
    let lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).to_ascii_lowercase()).collect();
    let codings = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    let codings: Vec<_> = codings.filter(|coding| !matches!(*coding, "" | "identity")).collect();
    let chunked = match codings[..] {
        [] => false,
        ["chunked"] => true,
        _ => {
            let message = format!("the app returned the transfer-encoding {}: only chunked is known", lines.join(", "));
            return Err(invalid(ruby, message));
        }
    };
    headers.remove(header::TRANSFER_ENCODING);
    if chunked {
        // The chunks say where the body ends (RFC 9112 §6.3); what they announce is not passed on.
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRAILER);
    }
    Ok(chunked)
}

fn add_header(ruby: &Ruby, headers: &mut HeaderMap, own: &mut Own, key: Value, value: Value) -> Result<(), Error> {
    let text = response_stream::string(key)?.to_bytes();
    // Never sent.
    if text.starts_with(b"rack.") {
        match &text[..] {
            b"rack.hijack" if !value.is_nil() => own.hijack = Some(value),
            b"rack.protocol" if !value.is_nil() => own.protocol = Some(value),
            _ => {}
        }
        return Ok(());
    }
    let name = HeaderName::from_bytes(&text).map_err(|_| {
        invalid(ruby, format!("the app returned a header named {}, which is not a token", describe(key)))
    })?;
    match RArray::from_value(value) {
        None => add_values(ruby, headers, &name, value),
        Some(values) => values.into_iter().try_for_each(|value| add_values(ruby, headers, &name, value)),
    }
}

/// A value, or several divided by newlines as Rack 2 has it.
fn add_values(ruby: &Ruby, headers: &mut HeaderMap, name: &HeaderName, value: Value) -> Result<(), Error> {
    if value.is_nil() {
        return Ok(());
    }
    let text = response_stream::string(value)?.to_bytes();
    let mut add = |line: Bytes| {
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

/// How a body is consumed, in Rack's order of precedence.
pub(crate) enum Kind {
    /// All of it at once.
    Whole(ResponseBody),
    /// `each` of this yields it.
    Each(Value),
    /// `call` writes it.
    Call,
}

/// A body with what is left to do about it.
pub(crate) struct Body {
    pub(crate) kind: Kind,
    /// `to_ary` has closed it.
    pub(crate) closed: bool,
}

pub(crate) fn body(ruby: &Ruby, value: Value, head: &mut Head) -> Result<Body, Error> {
    let open = |kind| Ok(Body { kind, closed: false });
    if let Some(array) = RArray::from_value(value) {
        return open(Kind::Whole(if head.chunked { unchunked(ruby, array)? } else { whole(array)? }));
    }
    if value.respond_to("each", false)? {
        if head.chunked {
            // Only what it yields is in chunks: Rails' to_ary raises for such a body.
            return open(Kind::Each(value));
        }
        if value.respond_to("to_ary", false)? {
            let array: Value = value.funcall("to_ary", ())?;
            if let Some(array) = RArray::from_value(array) {
                return Ok(Body { kind: Kind::Whole(whole(array)?), closed: true });
            }
            // Rails' answers with an Enumerator where the app gave it one, and with nil where it sends a file.
            if array.respond_to("each", false)? {
                return open(Kind::Each(array));
            }
        }
        if value.respond_to("to_path", false)?
            && let Some(file) = file(ruby, value, head)?
        {
            return open(Kind::Whole(ResponseBody::File(file)));
        }
        return open(Kind::Each(value));
    }
    if value.respond_to("call", false)? {
        return open(Kind::Call);
    }
    Err(invalid(
        ruby,
        format!("the app returned the body {}, which responds to neither each nor call", describe(value)),
    ))
}

fn whole(parts: RArray) -> Result<ResponseBody, Error> {
    Ok(match parts.len() {
        0 => ResponseBody::Empty,
        1 => ResponseBody::Full(lent_string::bytes(response_stream::string(parts.entry(0)?)?)),
        _ => {
            let mut gathered = Gathered::default();
            for part in parts {
                gathered.push(response_stream::string(part)?);
            }
            gathered.into_parts().into()
        }
    })
}

/// What is in the chunks that an array holds.
fn unchunked(ruby: &Ruby, parts: RArray) -> Result<ResponseBody, Error> {
    let (mut content, mut chunks) = (Vec::new(), Dechunker::default());
    let bad = |bad| error::not_in_chunks(ruby, bad);
    for part in parts {
        chunks.decode(response_stream::string(part)?.to_bytes(), |bytes| content.push(bytes)).map_err(bad)?;
    }
    chunks.finish().map_err(bad)?;
    Ok(content.into())
}

/// The file behind a body, if there is one that holds the bytes that `each` would yield: the server reads it without Ruby.
fn file(ruby: &Ruby, value: Value, head: &mut Head) -> Result<Option<FileBody>, Error> {
    let file = match io(ruby, value)? {
        Some(io) => opened(ruby, io)?,
        None => named(ruby, value)?,
    };
    if let Some(file) = &file
        && !head.headers.contains_key(header::CONTENT_LENGTH)
    {
        head.headers.try_insert(header::CONTENT_LENGTH, file.len().into()).map_err(|_| too_many(ruby))?;
    }
    Ok(file)
}

/// The IO that a body is, or stands for as a `Tempfile` and a `Rack::BodyProxy` do.
fn io(ruby: &Ruby, value: Value) -> Result<Option<Value>, Error> {
    if !value.respond_to("to_io", false)? {
        return Ok(None);
    }
    let io: Value = value.funcall("to_io", ())?;
    Ok(io.is_kind_of(ruby.class_io()).then_some(io))
}

/// What is left of an open file: `each` would begin where the app has read or seeked to.
fn opened(ruby: &Ruby, io: Value) -> Result<Option<FileBody>, Error> {
    // Ruby transcodes what it reads.
    if !io.funcall::<_, _, Value>("internal_encoding", ())?.is_nil() {
        return Ok(None);
    }
    let descriptor: RawFd = io.funcall("fileno", ())?;
    let file = gvl::without(ruby, || Regular::opened(descriptor))?;
    let Ok(Some(file)) = file else { return Ok(None) };
    let position: u64 = io.funcall("pos", ())?;
    Ok(Some(file.after(position)))
}

/// The file of the name that a body has.
fn named(ruby: &Ruby, value: Value) -> Result<Option<FileBody>, Error> {
    let mut path: Value = value.funcall("to_path", ())?;
    // A Pathname, as Rails' send_file passes it on.
    if RString::from_value(path).is_none() && path.respond_to("to_path", false)? {
        path = path.funcall("to_path", ())?;
    }
    let Some(path) = RString::from_value(path) else { return Ok(None) };
    let path = path.to_bytes();
    // On a network's mount that may take long. What can't be opened is left to `each`.
    let file = gvl::without(ruby, || Regular::open(OsStr::from_bytes(&path)))?;
    Ok(file.ok().flatten().map(|file| file.after(0)))
}
