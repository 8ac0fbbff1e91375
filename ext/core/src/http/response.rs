//! A response: what the app answers, or what the server answers in its place.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::http::body::ResponseBody;

/// A response of an app may have headers of that many names. `HeaderMap` holds 24,576 and panics beyond; the difference is left
/// to those that the server and hyper add.
pub const MOST_HEADER_NAMES: usize = 24_000;

/// A response head and its body.
#[derive(Debug)]
pub struct Response {
    /// The final status; 1xx is not one.
    pub status: StatusCode,
    /// The headers, without those that frame the message unless the app set them.
    pub headers: HeaderMap,
    /// The body. Ignored where HTTP allows none: HEAD, 204, 304.
    pub body: ResponseBody,
}

impl Response {
    /// A short plain text.
    pub fn text(status: StatusCode, text: impl Into<bytes::Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Self { status, headers, body: ResponseBody::Full(text.into()) }
    }

    /// The app has failed. The reason is in the log, and not for the client.
    pub fn app_failed() -> Self {
        Self::text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n")
    }
}

/// What a status line says behind the number (RFC 9110 §15): nothing where the status has no name. Clients have no use for it.
pub(crate) fn reason(status: StatusCode) -> &'static str {
    match status {
        // As RFC 9110 calls them.
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Content",
        other => other.canonical_reason().unwrap_or(""),
    }
}

/// A head as HTTP/1.1 has it, for a connection that no longer speaks HTTP through hyper.
pub fn http1_head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let reason = reason(status);
    let mut message = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    write_headers(&mut message, headers);
    message
}

/// A request the server answers itself, without the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    closes: bool,
    /// What there is to say beside the status.
    why: &'static str,
}

impl Refusal {
    /// The request was not read to its end, or its framing cannot be trusted: the connection is closed after it.
    pub(crate) fn closing(status: StatusCode) -> Self {
        Self { status, closes: true, why: "" }
    }

    /// The client speaks plain HTTP, and the address is for encrypted connections.
    pub(crate) fn unencrypted() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            closes: true,
            why: ": this port speaks HTTPS, and the request was sent without encryption",
        }
    }

    /// There is no room for the request now. The client may try again later, or elsewhere.
    pub(crate) fn busy() -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, closes: false, why: "" }
    }

    /// The app has taken too long. The connection stays, unless it `closes` because the request was not read to its end.
    pub(crate) fn timed_out(closes: bool) -> Self {
        Self { status: StatusCode::GATEWAY_TIMEOUT, closes, why: "" }
    }

    /// The server ends and the request was not begun.
    pub(crate) fn ending() -> Self {
        Self::closing(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The status it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the connection ends with it.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// The response a client gets.
    pub(crate) fn into_response(self) -> Response {
        let reason = reason(self.status);
        let mut response = Response::text(self.status, format!("{} {reason}{}\n", self.status.as_u16(), self.why));
        if self.closes {
            response.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// The length of the response's body, in bytes.
    pub(crate) fn body_length(self) -> u64 {
        self.into_response().body.length().unwrap_or(0)
    }

    /// The whole message as bytes, for a connection that no longer speaks HTTP through hyper.
    pub(crate) fn to_http1(self) -> Vec<u8> {
        let Response { status, mut headers, body } = self.into_response();
        let text = if let ResponseBody::Full(text) = body { text } else { Bytes::new() };
        headers.insert(header::CONTENT_LENGTH, text.len().into());
        let mut message = http1_head(status, &headers);
        message.extend_from_slice(&text);
        message
    }
}

/// Header lines, and the empty one that ends them.
pub(crate) fn write_headers(message: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_writes_itself() {
        assert_eq!(
            String::from_utf8(Refusal::closing(StatusCode::REQUEST_TIMEOUT).to_http1()).unwrap(),
            "HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\
             content-length: 20\r\n\r\n408 Request Timeout\n"
        );
    }

    #[test]
    fn a_busy_server_says_when_to_come_back_and_keeps_the_connection() {
        let response = Refusal::busy().into_response();
        assert_eq!(response.headers[header::RETRY_AFTER], "1");
        assert!(!response.headers.contains_key(header::CONNECTION));
    }
}
