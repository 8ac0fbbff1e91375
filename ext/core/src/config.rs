//! The resolved configuration: plain values, complete before anything starts, never changed after.

use std::{fmt, path::PathBuf, time::Duration};

use subtle::ConstantTimeEq;

use crate::{error::Error, http::added_headers::AddedHeaders, lifecycle::plan::Plan};

/// Everything a server needs to know. Built once by whoever embeds the core.
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
    /// Where request bodies wait that are larger than [`Limits::body_memory`], in unlinked files.
    pub spool_directory: PathBuf,
    /// How many requests the app may run at a time; the queue asks for no more workers. At least 1.
    pub max_workers: usize,
    /// How many workers stay, however little there is to do.
    pub min_workers: usize,
    /// How long a worker beyond those may have nothing to do; `None` is for ever.
    pub idle_worker: Option<Duration>,
    /// What is added to requests.
    pub marks: AddedHeaders,
    /// The shutdown's delays and budget.
    pub plan: Plan,
    /// What it is, for those who ask.
    pub about: About,
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
    pub mounted: bool,
    /// Paths that are the app's, and answered with 503 once the server was told to stop.
    pub fail_paths: Vec<String>,
    /// How long requests may wait although no worker is in the app, before `/livez` fails; `None` is for ever. A busy app
    /// never makes it fail.
    pub unattended: Option<Duration>,
}

/// How long a client may take over each step of a connection; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From accept to the first byte of the first request. The connection is closed without a response.
    pub first_byte: Option<Duration>,
    /// From the first byte of a head to its end, a deadline that no trickle of bytes extends. Answered with 408.
    pub head: Option<Duration>,
    /// Between two pieces of a request body. Answered with 408.
    pub body: Option<Duration>,
    /// Between a response and the next request's first byte. The connection is closed.
    pub idle: Option<Duration>,
    /// While the peer takes no byte of a response. The connection is aborted.
    pub write: Option<Duration>,
    /// From the first byte of a head to the last of the request. Answered with 408.
    pub whole_request: Option<Duration>,
    /// How fast a client has to send a request body and to take a response, while it is waited for and not silent. Answered
    /// with 408, or aborted.
    pub min_rate: Option<MinRate>,
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
            first_byte: Some(Duration::from_secs(30)),
            head: Some(Duration::from_secs(30)),
            body: Some(Duration::from_secs(60)),
            idle: Some(Duration::from_secs(65)),
            write: Some(Duration::from_secs(60)),
            whole_request: None,
            min_rate: Some(MinRate::default()),
        }
    }
}

/// How much a client may send, and where it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request's line and headers together; more is answered with 431.
    pub head: usize,
    /// Header fields of a request; more are answered with 431. At most [`Limits::MOST_FIELDS`].
    pub fields: usize,
    /// Bytes of a request body; more is answered with 413. `None`: no limit.
    pub body: Option<u64>,
    /// Bytes of a request body kept in memory; a larger one goes to an unlinked temporary file.
    pub body_memory: usize,
    /// Bytes of all request and response bodies together that are kept in memory; what is beyond goes on from unlinked
    /// temporary files. `None`: no limit.
    pub buffers: Option<u64>,
    /// Give the app request bodies while they arrive, instead of whole.
    pub stream_bodies: bool,
    /// Connections that may be open; `None`: as many as the process has descriptors for, beside what else needs some.
    pub connections: Option<usize>,
    /// Exchanges that may wait for a worker; more are answered with 503.
    pub queue: usize,
    /// How long an exchange may wait for a worker; then it is answered with 503. `None`: for ever.
    pub queue_wait: Option<Duration>,
}

impl Limits {
    /// More header fields than these nothing here can hold.
    pub const MOST_FIELDS: usize = 10_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 112 * 1024,
            fields: 1000,
            body: None,
            body_memory: 112 * 1024,
            buffers: Some(64 * 1024 * 1024),
            stream_bodies: false,
            connections: None,
            queue: 1024,
            queue_wait: None,
        }
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `tcp://HOST:PORT`, the host a name or an IP address (`[::1]` for IPv6), port 0 for any free port.
    Tcp {
        /// Without brackets.
        host: String,
        /// 0 lets the kernel choose.
        port: u16,
        /// Connections the kernel may keep for us; the system's own maximum caps it.
        backlog: i32,
    },
    /// `unix:///path`, or `unix://@name` for Linux's abstract namespace.
    Unix {
        /// Absolute or relative to the working directory; an abstract name keeps its `@`.
        path: PathBuf,
        /// The socket's permissions; `None` leaves them to the umask.
        mode: Option<u32>,
        /// As for TCP.
        backlog: i32,
    },
}

const BACKLOG: i32 = 1024;

impl Address {
    /// Reads `tcp://host:port?backlog=N` or `unix:///path?mode=0660&umask=0117&backlog=N`.
    ///
    /// # Errors
    ///
    /// A sentence that names what is wrong with the address.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::configuration(format!("{text:?} is not an address to listen on: {why}"));
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| wrong("it starts with neither tcp:// nor unix://"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Query::parse(query).map_err(|why| wrong(&why))?;
        let backlog = options.take_number("backlog", 10).map_err(|why| wrong(&why))?;
        let backlog = backlog.map_or(BACKLOG, |n| i32::try_from(n).unwrap_or(i32::MAX));
        let address = match scheme {
            "tcp" => {
                let (host, port) = split_host_port(place)
                    .ok_or_else(|| wrong("it needs a host and a port, as in tcp://0.0.0.0:9292"))?;
                Self::Tcp { host, port, backlog }
            }
            "unix" => {
                if place.is_empty() {
                    return Err(wrong("it needs a path, as in unix:///run/app.sock"));
                }
                let mode = options.take_number("mode", 8).map_err(|why| wrong(&why))?;
                let umask = options.take_number("umask", 8).map_err(|why| wrong(&why))?;
                Self::Unix { path: place.into(), mode: mode.or(umask.map(|mask| 0o777 & !mask)), backlog }
            }
            other => return Err(wrong(&format!("{other}:// is not supported; use tcp:// or unix://"))),
        };
        options.finish().map_err(|why| wrong(&why))?;
        Ok(address)
    }
}

impl Address {
    /// The same for a listener whose clients may change the server: where nothing else was said, a Unix socket is for this
    /// user's processes alone.
    pub(crate) fn private(mut self) -> Self {
        if let Self::Unix { mode, .. } = &mut self {
            mode.get_or_insert(0o600);
        }
        self
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Self::Unix { path, .. } => write!(f, "unix://{}", path.display()),
        }
    }
}

fn split_host_port(place: &str) -> Option<(String, u16)> {
    let (host, port) = place.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    if host.is_empty() {
        return None;
    }
    Some((host.to_owned(), port.parse().ok()?))
}

/// The `key=value` pairs behind an address; each is taken once and none may be left over.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').ok_or_else(|| format!("{pair:?} has no value")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn take_number(&mut self, name: &str, radix: u32) -> Result<Option<u32>, String> {
        let Some(at) = self.0.iter().position(|(key, _)| *key == name) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        match u32::from_str_radix(value, radix) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{name}={value} is not a number")),
        }
    }

    fn finish(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("it has no option {key:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, backlog: i32) -> Address {
        Address::Tcp { host: host.into(), port, backlog }
    }

    #[test]
    fn reads_addresses() {
        assert_eq!(Address::parse("tcp://0.0.0.0:9292").unwrap(), tcp("0.0.0.0", 9292, 1024));
        assert_eq!(Address::parse("tcp://[::1]:0?backlog=16").unwrap(), tcp("::1", 0, 16));
        assert_eq!(
            Address::parse("unix:///run/app.sock?mode=0660").unwrap(),
            Address::Unix { path: "/run/app.sock".into(), mode: Some(0o660), backlog: 1024 }
        );
        assert_eq!(
            Address::parse("unix://app.sock?umask=0117").unwrap(),
            Address::Unix { path: "app.sock".into(), mode: Some(0o660), backlog: 1024 }
        );
    }

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

    #[test]
    fn prints_what_it_reads() {
        for text in ["tcp://127.0.0.1:80", "tcp://[::1]:8080", "unix:///tmp/x"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong_with_an_address() {
        for (text, why) in [
            ("localhost:3000", "neither tcp:// nor unix://"),
            ("tcp://localhost", "needs a host and a port"),
            ("tcp://::1:80", "needs a host and a port"),
            ("tcp://h:70000", "needs a host and a port"),
            ("ssl://h:443", "ssl:// is not supported"),
            ("unix://", "needs a path"),
            ("unix:///x?mode=9", "mode=9 is not a number"),
            ("tcp://h:1?mode=0660", "no option \"mode\""),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.is_configuration());
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
