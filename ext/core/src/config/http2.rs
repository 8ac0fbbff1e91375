//! How HTTP/2 is spoken.

use serde::Deserialize;

/// How HTTP/2 is spoken. What a request may have at all is in [`Limits`](super::Limits), for every version of HTTP.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Http2 {
    /// Whether it is: over TLS where the client asks for it (ALPN), and on a plain address where it begins with it (prior
    /// knowledge).
    pub http2: bool,
    /// Requests that may be under way on one connection; a request counts until its response is written. More are refused with
    /// REFUSED_STREAM, and a client may ask again.
    pub http2_max_concurrent_streams: u32,
    /// Requests of one connection that may be reset by their client before the server has looked at them. More end the connection.
    pub http2_max_pending_resets: usize,
    /// Requests that one connection may break the protocol with, in all. More end the connection.
    pub http2_max_error_resets: usize,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            http2: true,
            http2_max_concurrent_streams: 100,
            http2_max_pending_resets: 20,
            http2_max_error_resets: 1024,
        }
    }
}
