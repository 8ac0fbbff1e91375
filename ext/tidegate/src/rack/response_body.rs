//! The body of a response: how it is consumed, and what the server can send without the app. That is an array, what `to_ary`
//! returns, or a file.

use std::{
    ffi::OsStr,
    os::{fd::RawFd, unix::ffi::OsStrExt},
};

use http::header;
use magnus::{Error, RArray, RString, Ruby, Value, prelude::*};
use tidegate_core::{Dechunker, FileBody, Regular, ResponseBody};

use crate::{
    error, gvl,
    rack::{
        lent_string::{self, Gathered},
        response::{ResponseHead, describe, invalid, string},
        response_headers::too_many,
    },
};

/// How the body is consumed, in Rack's order of precedence.
pub(crate) enum Kind {
    /// The core sends all of it.
    Whole(ResponseBody),
    /// `each` of this value yields it.
    Each(Value),
    /// `call` of the body writes it.
    Call,
}

/// A body, and whether it has been closed.
pub(crate) struct Body {
    pub(crate) kind: Kind,
    /// `to_ary` has closed it, as Rack wants.
    pub(crate) closed: bool,
}

/// Finds out how the body `value` is consumed. What has something behind it is `streamed`.
///
/// # Errors
///
/// `TypeError` for what is no body, and what the app's own objects raise.
pub(crate) fn read(ruby: &Ruby, value: Value, head: &mut ResponseHead, streamed: bool) -> Result<Body, Error> {
    let open = |kind| Ok(Body { kind, closed: false });
    if streamed && value.respond_to("each", false)? {
        return open(Kind::Each(value));
    }
    if let Some(array) = RArray::from_value(value) {
        return open(Kind::Whole(if head.chunked { unchunked(ruby, array)? } else { whole(array)? }));
    }
    if value.respond_to("each", false)? {
        if head.chunked {
            // Only `each` yields chunks: `to_ary` of Rails raises for such a body.
            return open(Kind::Each(value));
        }
        if value.respond_to("to_ary", false)? {
            let array: Value = value.funcall("to_ary", ())?;
            if let Some(array) = RArray::from_value(array) {
                return Ok(Body { kind: Kind::Whole(whole(array)?), closed: true });
            }
            // `to_ary` of Rails returns an Enumerator if the app gave it one, and nil if it sends a file.
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

/// The body that an array holds.
fn whole(parts: RArray) -> Result<ResponseBody, Error> {
    Ok(match parts.len() {
        0 => ResponseBody::Empty,
        1 => ResponseBody::Full(lent_string::bytes(string(parts.entry(0)?)?)),
        _ => {
            let mut gathered = Gathered::default();
            for part in parts {
                gathered.push(string(part)?);
            }
            gathered.into_parts().into()
        }
    })
}

/// The content of the chunks that an array holds.
fn unchunked(ruby: &Ruby, parts: RArray) -> Result<ResponseBody, Error> {
    let (mut content, mut chunks) = (Vec::new(), Dechunker::default());
    let bad = |bad| error::not_in_chunks(ruby, bad);
    for part in parts {
        chunks.decode(string(part)?.to_bytes(), |bytes| content.push(bytes)).map_err(bad)?;
    }
    chunks.finish().map_err(bad)?;
    Ok(content.into())
}

/// The file behind a body, if it holds the bytes that `each` would yield: the core reads it without Ruby.
fn file(ruby: &Ruby, value: Value, head: &mut ResponseHead) -> Result<Option<FileBody>, Error> {
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

/// The IO that a body is or wraps, as `Tempfile` and `Rack::BodyProxy` do.
fn io(ruby: &Ruby, value: Value) -> Result<Option<Value>, Error> {
    if !value.respond_to("to_io", false)? {
        return Ok(None);
    }
    let io: Value = value.funcall("to_io", ())?;
    Ok(io.is_kind_of(ruby.class_io()).then_some(io))
}

/// The rest of an open file: `each` would begin where the app has read or seeked to.
fn opened(ruby: &Ruby, io: Value) -> Result<Option<FileBody>, Error> {
    // `each` would transcode what it reads.
    if !io.funcall::<_, _, Value>("internal_encoding", ())?.is_nil() {
        return Ok(None);
    }
    let descriptor: RawFd = io.funcall("fileno", ())?;
    let file = gvl::without(ruby, || Regular::opened(descriptor))?;
    let Ok(Some(file)) = file else { return Ok(None) };
    let position: u64 = io.funcall("pos", ())?;
    Ok(Some(file.after(position)))
}

/// The file that `to_path` of a body names.
fn named(ruby: &Ruby, value: Value) -> Result<Option<FileBody>, Error> {
    let mut path: Value = value.funcall("to_path", ())?;
    // A Pathname, as Rails' send_file passes it on.
    if RString::from_value(path).is_none() && path.respond_to("to_path", false)? {
        path = path.funcall("to_path", ())?;
    }
    let Some(path) = RString::from_value(path) else { return Ok(None) };
    let path = path.to_bytes();
    // Opening may take long on a network mount. A file that cannot be opened is left to `each`, which raises.
    let file = gvl::without(ruby, || Regular::open(OsStr::from_bytes(&path)))?;
    Ok(file.ok().flatten().map(|file| file.after(0)))
}
