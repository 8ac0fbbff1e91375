//! How much a client may send, and how much the server keeps.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::settings::{OrAuto, seconds_or_none};

/// How much a client may send, and where it is kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of a request's line and headers together; more is answered with 431.
    pub head_limit: usize,
    /// Header fields of a request; more are answered with 431. At most [`Limits::MOST_FIELDS`].
    #[serde(deserialize_with = "up_to_most_fields")]
    pub header_fields_limit: usize,
    /// Bytes of a request body; more is answered with 413. `None`: no limit.
    pub http_content_length_limit: Option<u64>,
    /// Bytes of a request body kept in memory; a larger one goes to an unlinked temporary file. `None`: as many as
    /// [`buffer_limit`](Limits::buffer_limit) has room for.
    pub body_memory_limit: Option<u64>,
    /// Bytes of all request and response bodies together that are kept in memory; what is beyond goes on from unlinked
    /// temporary files. `None`: no limit.
    pub buffer_limit: Option<u64>,
    /// Give the app request bodies while they arrive, instead of whole.
    pub stream_input: bool,
    /// Requests that a connection serves before the server ends it: the response to the last says `close`, and a connection of HTTP/2
    /// is told to go. `None`: no limit.
    pub max_keep_alive: Option<u32>,
    /// Connections that may be open; auto is as many as the process has descriptors for, beside what else needs some.
    pub max_connections: OrAuto<usize>,
    /// Exchanges that may wait for a worker; more are answered with 503.
    pub max_queue: usize,
    /// How long an exchange may wait for a worker; then it is answered with 503. `None`: for ever.
    #[serde(deserialize_with = "seconds_or_none")]
    pub queue_timeout: Option<Duration>,
}

impl Limits {
    /// More header fields than these nothing here can hold.
    pub const MOST_FIELDS: usize = 10_000;
}

fn up_to_most_fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    Ok(usize::deserialize(deserializer)?.min(Limits::MOST_FIELDS))
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_limit: 112 * 1024,
            header_fields_limit: 1000,
            http_content_length_limit: None,
            body_memory_limit: None,
            buffer_limit: Some(64 * 1024 * 1024),
            stream_input: false,
            max_keep_alive: None,
            max_connections: OrAuto::Auto,
            max_queue: 1024,
            queue_timeout: None,
        }
    }
}
