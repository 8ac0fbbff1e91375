//! How a request can change to another protocol: by `Upgrade`, or by the extended CONNECT that it is.
//!
//! An extended CONNECT for a WebSocket is shown to the app as the handshake that HTTP/1 has for it (a GET with `Upgrade`), because
//! that is what apps and their libraries know, Action Cable too; the core makes a 200 of the app's 101. Any other protocol is shown
//! as it came: `CONNECT`, with its name in `rack.protocol`.

use http::{Method, Version, header, request::Parts};
use tidegate_core::ConnectProtocol;

/// The key of a handshake that had none, in Base64: HTTP/2 needs no proof that the server speaks WebSocket (RFC 8441 §5), but
/// libraries want a key to prove it with.
pub(super) const WEB_SOCKET_KEY: &str = "dGlkZWdhdGUgaDIga2V5IQ==";

/// How a request can change to another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolChange {
    /// As HTTP/1.1 has it (RFC 9110 §7.8).
    Upgrade,
    /// By what the request is (RFC 8441 §4).
    Connect,
    /// Not at all: the client speaks HTTP/1.0, which has no such thing.
    NotInHttp10,
    /// Not at all: in HTTP/2 only a CONNECT can.
    NotInHttp2,
}

impl ProtocolChange {
    pub(crate) fn of(head: &Parts) -> Self {
        match head.version {
            Version::HTTP_2 if head.method == Method::CONNECT => Self::Connect,
            Version::HTTP_2 => Self::NotInHttp2,
            Version::HTTP_11 => Self::Upgrade,
            _ => Self::NotInHttp10,
        }
    }

    /// Why it is not possible, as the end of a sentence.
    pub(crate) fn obstacle(self) -> Option<&'static str> {
        match self {
            Self::Upgrade | Self::Connect => None,
            Self::NotInHttp10 => Some("a client that speaks HTTP/1.0"),
            Self::NotInHttp2 => Some("a client that speaks HTTP/2 and has not asked for another protocol"),
        }
    }
}

/// The protocol that an extended CONNECT asks for.
pub(super) fn connect_protocol(head: &Parts) -> Option<&str> {
    if head.version != Version::HTTP_2 {
        return None;
    }
    head.extensions.get::<ConnectProtocol>().map(ConnectProtocol::as_str)
}

/// Whether a protocol is shown to the app as a handshake of HTTP/1. Names of protocols have no case (RFC 9110 §16.7).
pub(super) fn is_web_socket(protocol: &str) -> bool {
    protocol.eq_ignore_ascii_case("websocket")
}

/// Whether the client takes fields behind the body of a response: in HTTP/2 every one does, if only to ignore them; in HTTP/1.1
/// the one that says so (RFC 9110 §6.5.1, §10.1.4).
pub(super) fn takes_trailers(head: &Parts) -> bool {
    match head.version {
        Version::HTTP_2 => head.method != Method::CONNECT,
        Version::HTTP_11 if head.headers.contains_key(header::TE) => {
            let values = head.headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
            let mut codings = values.flat_map(|value| value.split(',')).map(str::trim);
            codings.any(|coding| coding.eq_ignore_ascii_case("trailers"))
        }
        _ => false,
    }
}
