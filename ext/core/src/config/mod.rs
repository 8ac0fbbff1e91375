//! The resolved configuration: plain values, complete before anything starts, never changed after.

mod address;

use std::{fmt, path::PathBuf, time::Duration};

use subtle::ConstantTimeEq;

pub use self::address::Address;
use crate::lifecycle::plan::Plan;

/// Everything a server needs to know. The program that embeds the core builds it once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where requests are accepted; at least one.
    pub binds: Vec<Address>,
    /// Where the probe endpoints are answered; `None` leaves them off.
    pub admin: Option<Address>,
    /// Who may ask that address for more than a probe.
    pub admin_access: AdminAccess,
    /// What is answered for probes on the addresses of the app.
    pub probes: Probes,
    /// How long a client may take over each step.
    pub timeouts: Timeouts,
    /// How much a client may send.
    pub limits: Limits,
    /// Where request bodies wait that are larger than [`Limits::body_memory_limit`], in unlinked files.
    pub spool_directory: PathBuf,
    /// How many requests the app may run at a time; the queue asks for no more workers. At least 1.
    pub max_threads: usize,
    /// How many workers stay, however little there is to do.
    pub min_threads: usize,
    /// How long a worker beyond those may have nothing to do; `None` is for ever.
    pub idle_thread_timeout: Option<Duration>,
    /// What is added to requests.
    pub added_headers: AddedHeaders,
    /// The shutdown's delays and budget.
    pub plan: Plan,
    /// What it is, for those who ask.
    pub about: About,
}

/// Headers that the server adds to requests that come without them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddedHeaders {
    /// `X-Request-Id`, unless the client or a proxy has sent one; it is sent back with the response.
    pub request_id: bool,
    /// `X-Request-Start: t=<milliseconds since 1970>`, unless a proxy has said when the request came.
    pub request_start: bool,
}

/// What a server is, as its operators know it.
#[derive(Clone, Debug)]
pub struct About {
    /// The server's own version.
    pub version: String,
    /// What runs the app, if it is known.
    pub interpreter: Option<Interpreter>,
}

impl Default for About {
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").into(), interpreter: None }
    }
}

/// What runs the app.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// Its name: `ruby`.
    pub engine: String,
    /// Its version.
    pub version: String,
    /// The patch of that version.
    pub patchlevel: i64,
}

/// Who may ask the admin address for more than a probe.
#[derive(Clone, Debug, Default)]
pub struct AdminAccess {
    /// What a request that changes the server has to bring over TCP, as `Authorization: Bearer TOKEN`; without one such
    /// requests are refused there. On a Unix socket the file's permissions decide.
    pub token: Option<Token>,
    /// Host names beside `localhost` and the address's own under which the listener is known. IP addresses are always.
    pub hosts: Vec<String>,
}

/// A secret. It is compared in a time that does not depend on where a guess is wrong, and never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The secret of these bytes, as they are in the header.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn is(&self, guess: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(guess).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Probes that come to the addresses of the app.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    /// Answer the probe endpoints there too.
    pub probe_paths: bool,
    /// Paths that are the app's, and answered with 503 once the server was told to stop.
    pub drain_fail_paths: Vec<String>,
    /// How long requests may wait although no worker is in the app, before `/livez` fails; `None` is for ever. A busy app
    /// never makes it fail.
    pub liveness_timeout: Option<Duration>,
}

/// How long a client may take over each step of a connection; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From accept to the first byte of the first request. The connection is closed without a response.
    pub first_data_timeout: Option<Duration>,
    /// From the first byte of a head to its end, a deadline that no trickle of bytes extends. Answered with 408.
    pub head_timeout: Option<Duration>,
    /// Between two pieces of a request body. Answered with 408.
    pub body_timeout: Option<Duration>,
    /// Between a response and the next request's first byte. The connection is closed.
    pub persistent_timeout: Option<Duration>,
    /// While the peer takes no byte of a response. The connection is aborted.
    pub write_timeout: Option<Duration>,
    /// From the first byte of a head to the last of the request. Answered with 408.
    pub receive_timeout: Option<Duration>,
    /// How fast a client has to send a request body and to take a response, while it is waited for and not silent. Answered
    /// with 408, or aborted.
    pub min_data_rate: Option<MinRate>,
}

/// How fast a client has to be at least.
#[derive(Clone, Copy, Debug)]
pub struct MinRate {
    /// Bytes a second.
    pub bytes: u64,
    /// What they are the mean of. Less than a second is a second.
    pub over: Duration,
}

impl MinRate {
    /// Bytes that have to come, or to be taken, in [`window`](Self::window).
    pub(crate) fn quota(&self) -> u64 {
        (self.bytes as f64 * self.window().as_secs_f64()) as u64
    }

    pub(crate) fn window(&self) -> Duration {
        self.over.max(Duration::from_secs(1))
    }
}

impl Default for MinRate {
    fn default() -> Self {
        Self { bytes: 500, over: Duration::from_secs(20) }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_data_timeout: Some(Duration::from_secs(30)),
            head_timeout: Some(Duration::from_secs(30)),
            body_timeout: Some(Duration::from_secs(60)),
            persistent_timeout: Some(Duration::from_secs(65)),
            write_timeout: Some(Duration::from_secs(60)),
            receive_timeout: None,
            min_data_rate: Some(MinRate::default()),
        }
    }
}

/// How much a client may send, and where it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request's line and headers together; more is answered with 431.
    pub head_limit: usize,
    /// Header fields of a request; more are answered with 431. At most [`Limits::MOST_FIELDS`].
    pub header_fields_limit: usize,
    /// Bytes of a request body; more is answered with 413. `None`: no limit.
    pub http_content_length_limit: Option<u64>,
    /// Bytes of a request body kept in memory; a larger one goes to an unlinked temporary file.
    pub body_memory_limit: usize,
    /// Bytes of all request and response bodies together that are kept in memory; what is beyond goes on from unlinked
    /// temporary files. `None`: no limit.
    pub buffer_limit: Option<u64>,
    /// Give the app request bodies while they arrive, instead of whole.
    pub stream_input: bool,
    /// Connections that may be open; `None`: as many as the process has descriptors for, beside what else needs some.
    pub max_connections: Option<usize>,
    /// Exchanges that may wait for a worker; more are answered with 503.
    pub max_queue: usize,
    /// How long an exchange may wait for a worker; then it is answered with 503. `None`: for ever.
    pub queue_timeout: Option<Duration>,
}

impl Limits {
    /// More header fields than these nothing here can hold.
    pub const MOST_FIELDS: usize = 10_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_limit: 112 * 1024,
            header_fields_limit: 1000,
            http_content_length_limit: None,
            body_memory_limit: 112 * 1024,
            buffer_limit: Some(64 * 1024 * 1024),
            stream_input: false,
            max_connections: None,
            max_queue: 1024,
            queue_timeout: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_matches_itself_alone_and_is_never_printed() {
        let token = Token::new("correct horse");
        assert!(token.is(b"correct horse"));
        for guess in [&b"correct horsf"[..], b"correct hors", b"correct horse ", b"", b"Correct horse"] {
            assert!(!token.is(guess));
        }
        let access = AdminAccess { token: Some(token), hosts: Vec::new() };
        assert!(!format!("{access:?}").contains("correct"));
    }
}
