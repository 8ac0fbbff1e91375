//! What an app returns, `[status, headers, body]`: its three parts, and the head that the core sends. What cannot be sent is the
//! app's fault, and the error says which part it is.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use magnus::{Error, Integer, RArray, RString, Ruby, Value, prelude::*};

use crate::rack::response_headers::{self, too_many};

/// Status and headers.
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The value of the response header `rack.hijack`: it is called with the connection, after the head.
    pub(crate) hijack: Option<Value>,
    /// The app has set `transfer-encoding: chunked`, and so its body is in chunks.
    pub(crate) chunked: bool,
}

/// The three parts an app returned.
pub(crate) struct Parts {
    pub(crate) status: Value,
    pub(crate) headers: Value,
    pub(crate) body: Value,
}

/// The `TypeError` of what cannot be sent.
pub(crate) fn invalid(ruby: &Ruby, message: String) -> Error {
    Error::new(ruby.exception_type_error(), message)
}

impl Parts {
    /// The parts of what the app returned. If it has hijacked the connection, it may return anything.
    #[inline(never)]
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

    /// The head that the core sends.
    pub(crate) fn head(&self, ruby: &Ruby) -> Result<ResponseHead, Error> {
        let (mut headers, for_server) = response_headers::read(ruby, self.headers)?;
        let mut status = status(ruby, self.status)?;
        if let Some(protocol) = for_server.protocol {
            // In HTTP/1 the protocol is changed by an upgrade (Rack SPEC, RFC 9110 §7.8).
            let name = HeaderValue::from_maybe_shared(string(protocol)?.to_bytes()).map_err(|_| {
                invalid(ruby, format!("the app returned the rack.protocol {}, which is no name", describe(protocol)))
            })?;
            headers.try_insert(header::UPGRADE, name).map_err(|_| too_many(ruby))?;
            status = StatusCode::SWITCHING_PROTOCOLS;
        }
        // The app writes all that follows the head of a hijacked connection.
        let chunked = for_server.hijack.is_none() && take_framing(ruby, &mut headers)?;
        Ok(ResponseHead { status, headers, hijack: for_server.hijack, chunked })
    }
}

/// A Ruby value as a string, by its `to_s` if it is none.
pub(crate) fn string(value: Value) -> Result<RString, Error> {
    RString::from_value(value).map_or_else(|| value.funcall("to_s", ()), Ok)
}

/// A value as a message shows it.
pub(crate) fn describe(value: Value) -> String {
    value.inspect().chars().take(100).collect()
}

fn status(ruby: &Ruby, value: Value) -> Result<StatusCode, Error> {
    let number = match Integer::from_value(value) {
        Some(integer) => integer,
        None => value.funcall("to_i", ())?,
    };
    let status = number.to_u16().ok().and_then(|number| StatusCode::from_u16(number).ok());
    match status {
        // After 101 the app speaks its own protocol; after the others a response follows.
        Some(status) if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS => Ok(status),
        _ => Err(invalid(ruby, format!("the app returned the status {}, which is no final status", describe(value)))),
    }
}

/// Removes the transfer-encoding that the app has set, because the server frames messages itself. Returns whether the body is in
/// chunks.
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
        // The chunks say where the body ends (RFC 9112 §6.3), and their trailers are not passed on.
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRAILER);
    }
    Ok(chunked)
}
