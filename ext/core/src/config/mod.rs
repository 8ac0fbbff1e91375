//! The resolved configuration: plain values, complete before anything starts, never changed after.

mod address;
mod settings;
mod shutdown;

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;

use self::settings::{milliseconds_or_none, seconds, seconds_or_none};
pub use self::{
    address::Address,
    settings::{Setting, Settings},
    shutdown::{PlanOptions, Platform},
};
use crate::error::Error;

/// How long a thread may compute without a pause while others want the GVL, unless it is set.
pub(crate) const TIME_SLICE: Duration = Duration::from_millis(40);

/// Everything a server needs to know. The program that embeds the core builds it once, or has it read from [`Settings`]: each
/// field bears the name of its setting.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where requests are accepted; at least one.
    pub bind: Vec<Address>,
    /// Where the probe endpoints are answered; `None` leaves them off.
    pub admin: Option<Address>,
    /// Where request bodies wait that are larger than [`Limits::body_memory_limit`], in unlinked files.
    pub spool_directory: PathBuf,
    /// How many requests the app may run at a time; the queue asks for no more workers. At least 1.
    pub max_threads: usize,
    /// How many workers stay, however little there is to do.
    pub min_threads: usize,
    /// How long a worker beyond those may have nothing to do; `None` is for ever.
    #[serde(deserialize_with = "seconds_or_none")]
    pub idle_thread_timeout: Option<Duration>,
    /// How long a thread may compute without a pause while others want the GVL; `None` is as long as the interpreter allows. As
    /// a setting it is in milliseconds, and 0 is `None`.
    #[serde(deserialize_with = "milliseconds_or_none")]
    pub time_slice: Option<Duration>,
    /// What runs the process.
    pub platform: Platform,
    /// Which clients may ask the admin address for more than a probe.
    #[serde(skip)]
    pub admin_access: AdminAccess,
    /// What is answered for probes on the addresses of the app.
    #[serde(skip)]
    pub probes: Probes,
    /// How long a client may take over each step.
    #[serde(skip)]
    pub timeouts: Timeouts,
    /// How much a client may send.
    #[serde(skip)]
    pub limits: Limits,
    /// What is added to requests.
    #[serde(skip)]
    pub added_headers: AddedHeaders,
    /// The shutdown's delays and budget.
    #[serde(skip)]
    pub shutdown: PlanOptions,
    /// What is logged, and how.
    #[serde(skip)]
    pub logging: Logging,
    /// What the server is, for `/stats` and `/metrics`.
    #[serde(skip)]
    pub about: About,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: Vec::new(),
            admin: None,
            spool_directory: "/tmp".into(),
            max_threads: 1,
            min_threads: 0,
            idle_thread_timeout: None,
            time_slice: Some(TIME_SLICE),
            platform: Platform::default(),
            admin_access: AdminAccess::default(),
            probes: Probes::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            added_headers: AddedHeaders::default(),
            shutdown: PlanOptions::default(),
            logging: Logging::default(),
            about: About::default(),
        }
    }
}

impl Config {
    /// Reads `settings`; one that is missing has its default. [`about`](Self::about) is left to the caller.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], with the name of a setting that there is not, or that has a value that it cannot have.
    pub fn from_settings(mut settings: Settings) -> Result<Self, Error> {
        let config = Self {
            admin_access: settings.take()?,
            probes: settings.take()?,
            timeouts: Timeouts { min_data_rate: settings.take::<DataRate>()?.into(), ..settings.take()? },
            limits: settings.take()?,
            added_headers: settings.take()?,
            shutdown: settings.take()?,
            logging: settings.take()?,
            ..settings.take()?
        };
        settings.finish()?;
        Ok(config)
    }
}

/// What is logged beside what the server and the app have to say, and how.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// Whether each request gets a line.
    pub log_requests: bool,
    /// How that line looks; in JSON the server's own lines too.
    pub log_format: LogFormat,
    /// The file for what a drain did; auto is the platform's own, where it has one.
    pub termination_log: Option<Setting<PathBuf>>,
}

/// How a line for a request looks.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Apache's combined form, with the seconds that the request took at the end, and `cut` behind them where the response
    /// did not reach its end.
    #[default]
    Combined,
    /// One JSON object.
    Json,
}

/// Headers that the server adds to requests that come without them.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct AddedHeaders {
    /// `X-Request-Id`, unless the client or a proxy has sent one; it is sent back with the response.
    pub request_id: bool,
    /// `X-Request-Start: t=<milliseconds since 1970>`, unless a proxy has said when the request came.
    pub request_start: bool,
}

/// What a server is, as its operators know it: its version and what runs the app.
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

/// Which clients may ask the admin address for more than a probe.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AdminAccess {
    /// What a request that changes the server has to bring over TCP, as `Authorization: Bearer TOKEN`; without one such
    /// requests are refused there. On a Unix socket the file's permissions decide.
    pub admin_token: Option<Token>,
    /// Host names beside `localhost` and the address's own under which the listener is known. IP addresses are always.
    pub admin_hosts: Vec<String>,
}

/// A secret. It is compared in a time that does not depend on where a guess is wrong, and never printed.
#[derive(Clone, Deserialize)]
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Probes {
    /// Answer the probe endpoints there too.
    pub probe_paths: bool,
    /// Paths that are the app's, and answered with 503 once the server was told to stop.
    pub drain_fail_paths: Vec<String>,
    /// How long requests may wait although no worker is in the app, before `/livez` fails; `None` is for ever. A busy app
    /// never makes it fail.
    #[serde(deserialize_with = "seconds_or_none")]
    pub liveness_timeout: Option<Duration>,
}

/// How long a client may take over each step of a connection; `None` is for ever.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// From accept to the first byte of the first request. The connection is closed without a response.
    #[serde(deserialize_with = "seconds_or_none")]
    pub first_data_timeout: Option<Duration>,
    /// From the first byte of a head to its end, a deadline that no trickle of bytes extends. Answered with 408.
    #[serde(deserialize_with = "seconds_or_none")]
    pub head_timeout: Option<Duration>,
    /// Between two pieces of a request body. Answered with 408.
    #[serde(deserialize_with = "seconds_or_none")]
    pub body_timeout: Option<Duration>,
    /// Between a response and the next request's first byte. The connection is closed.
    #[serde(deserialize_with = "seconds_or_none")]
    pub persistent_timeout: Option<Duration>,
    /// While the peer takes no byte of a response. The connection is aborted.
    #[serde(deserialize_with = "seconds_or_none")]
    pub write_timeout: Option<Duration>,
    /// From the first byte of a head to the last of the request. Answered with 408.
    #[serde(deserialize_with = "seconds_or_none")]
    pub receive_timeout: Option<Duration>,
    /// How fast a client has to send a request body and to take a response, while the server waits for it and it is not silent.
    /// Answered with 408, or aborted.
    #[serde(skip)]
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

/// The settings that make a [`MinRate`].
#[derive(Deserialize)]
#[serde(default)]
struct DataRate {
    /// `None` and 0 are for any rate.
    min_data_rate: Option<u64>,
    #[serde(deserialize_with = "seconds")]
    min_data_rate_grace: Duration,
}

impl Default for DataRate {
    fn default() -> Self {
        let MinRate { bytes, over } = MinRate::default();
        Self { min_data_rate: Some(bytes), min_data_rate_grace: over }
    }
}

impl From<DataRate> for Option<MinRate> {
    fn from(settings: DataRate) -> Self {
        let bytes = settings.min_data_rate.filter(|bytes| *bytes > 0)?;
        Some(MinRate { bytes, over: settings.min_data_rate_grace })
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
    /// Bytes of a request body kept in memory; a larger one goes to an unlinked temporary file.
    pub body_memory_limit: usize,
    /// Bytes of all request and response bodies together that are kept in memory; what is beyond goes on from unlinked
    /// temporary files. `None`: no limit.
    pub buffer_limit: Option<u64>,
    /// Give the app request bodies while they arrive, instead of whole.
    pub stream_input: bool,
    /// Connections that may be open; auto is as many as the process has descriptors for, beside what else needs some.
    pub max_connections: Setting<usize>,
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
            body_memory_limit: 112 * 1024,
            buffer_limit: Some(64 * 1024 * 1024),
            stream_input: false,
            max_connections: Setting::Auto,
            max_queue: 1024,
            queue_timeout: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(settings: Value) -> Result<Config, String> {
        let Value::Object(settings) = settings else { panic!("{settings} is not an object") };
        Config::from_settings(settings.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_come_to_the_fields_of_their_names() {
        let config = read(json!({
            "bind": ["tcp://127.0.0.1:0"], "admin": "unix:///run/admin.sock", "admin_token": "secret", "max_threads": 4,
            "head_timeout": 2.5, "body_timeout": null, "max_connections": 9, "header_fields_limit": 20_000, "drain_delay": "auto",
            "shutdown_timeout": 7, "log_format": "json", "termination_log": "auto", "time_slice": 0, "platform": "kubernetes",
            "request_id": true, "probe_paths": true
        }))
        .unwrap();
        assert_eq!(config.bind, [Address::parse("tcp://127.0.0.1:0").unwrap()]);
        assert_eq!(config.admin.unwrap().to_string(), "unix:///run/admin.sock");
        assert!(config.admin_access.admin_token.unwrap().is(b"secret"));
        assert_eq!((config.max_threads, config.time_slice, config.platform), (4, None, Platform::Kubernetes));
        assert_eq!(
            (config.timeouts.head_timeout, config.timeouts.body_timeout),
            (Some(Duration::from_millis(2500)), None)
        );
        assert_eq!(config.limits.max_connections, Setting::Fixed(9));
        assert_eq!(config.limits.header_fields_limit, Limits::MOST_FIELDS);
        assert_eq!(config.shutdown.shutdown_timeout, Setting::Fixed(Duration::from_secs(7)));
        assert_eq!(config.logging.log_format, LogFormat::Json);
        assert_eq!(config.logging.termination_log, Some(Setting::Auto));
        assert!(config.added_headers.request_id && config.probes.probe_paths);
    }

    #[test]
    fn a_setting_that_was_not_passed_has_its_default() {
        let config = read(json!({})).unwrap();
        assert_eq!(config.timeouts.head_timeout, Timeouts::default().head_timeout);
        assert_eq!(config.time_slice, Some(TIME_SLICE));
        assert_eq!(config.logging.termination_log, None);
        assert!(config.timeouts.min_data_rate.is_some());
    }

    #[test]
    fn a_data_rate_is_made_of_two_settings() {
        let rate =
            |settings| read(settings).unwrap().timeouts.min_data_rate.map(|rate| (rate.bytes, rate.over.as_secs()));
        assert_eq!(rate(json!({ "min_data_rate": 10, "min_data_rate_grace": 5.0 })), Some((10, 5)));
        assert_eq!(rate(json!({ "min_data_rate": 0 })), None);
        assert_eq!(rate(json!({ "min_data_rate": null })), None);
    }

    #[test]
    fn what_is_wrong_is_said_by_the_name_of_the_setting() {
        assert_eq!(read(json!({ "head_timeot": 1 })).unwrap_err(), "unknown setting: head_timeot");
        assert_eq!(read(json!({ "timeouts": {} })).unwrap_err(), "unknown setting: timeouts");
        let platform = read(json!({ "platform": "Plain" })).unwrap_err();
        assert!(platform.starts_with("platform: unknown variant `Plain`"), "{platform}");
        let address = read(json!({ "bind": ["ssl://h:443"] })).unwrap_err();
        assert!(address.starts_with("bind: \"ssl://h:443\" is not an address to listen on"), "{address}");
    }

    #[test]
    fn knows_platforms_by_name() {
        let platform = |name: &str| read(json!({ "platform": name })).unwrap().platform;
        let known = ["kubernetes", "container", "plain"].map(platform);
        assert_eq!(known, [Platform::Kubernetes, Platform::Container, Platform::default()]);
    }

    #[test]
    fn a_token_matches_itself_alone_and_is_never_printed() {
        let token = Token::new("correct horse");
        assert!(token.is(b"correct horse"));
        for guess in [&b"correct horsf"[..], b"correct hors", b"correct horse ", b"", b"Correct horse"] {
            assert!(!token.is(guess));
        }
        let access = AdminAccess { admin_token: Some(token), admin_hosts: Vec::new() };
        assert!(!format!("{access:?}").contains("correct"));
    }
}
