//! The resolved configuration: plain values, complete before anything starts, never changed after.

mod address;
mod admin;
mod cluster;
mod forwarding;
mod http2;
mod limits;
mod settings;
mod shutdown;
mod timeouts;
mod tls;
mod trusted_proxies;
mod wire;

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

pub use self::{
    address::{Address, Inherited},
    admin::{AdminAccess, Token},
    cluster::ClusterOptions,
    forwarding::{ClientHeader, ForwardedHeaders, Forwarding},
    http2::Http2,
    limits::Limits,
    settings::{OrAuto, SettingsByName},
    shutdown::{PlanOptions, Platform},
    timeouts::{MinRate, Timeouts},
    tls::{CertificateSource, ClientVerification, PemSource, TlsOptions, VerifyMode},
    trusted_proxies::TrustedProxies,
    wire::{ProxyVersions, WireOptions},
};
use self::{
    settings::{milliseconds_or_none, seconds_or_none},
    timeouts::DataRateSettings,
};
use crate::error::Error;

/// How long a thread may compute without a pause while others want the GVL, unless it is set.
pub(crate) const TIME_SLICE: Duration = Duration::from_millis(40);

/// Everything a server needs to know. The program that embeds the core builds it once, or has it read from [`SettingsByName`]: each
/// field bears the name of its setting.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where requests are accepted; at least one.
    pub bind: Vec<Address>,
    /// Sockets of these addresses that are there already.
    pub inherit: Vec<Inherited>,
    /// Where the probe endpoints are answered; `None` leaves them off.
    pub admin: Option<Address>,
    /// Where request bodies beyond [`Limits::body_memory_limit`] and responses beyond [`Limits::buffer_limit`] wait, in unlinked
    /// files.
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
    /// How long the app may take for a request, from the moment in which a worker takes it; the client is then answered with 504,
    /// and the worker is interrupted. `None` is for ever.
    #[serde(deserialize_with = "seconds_or_none")]
    pub request_timeout: Option<Duration>,
    /// Between two looks at the files of certificates, which are read anew when they have changed; `None`: when the program asks for it
    /// alone.
    #[serde(deserialize_with = "seconds_or_none")]
    pub tls_reload_interval: Option<Duration>,
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
    /// How HTTP/2 is spoken.
    #[serde(skip)]
    pub http2: Http2,
    /// What is added to requests.
    #[serde(skip)]
    pub added_headers: AddedHeaders,
    /// What proxies are believed.
    #[serde(skip)]
    pub forwarding: Forwarding,
    /// The shutdown's delays and budget.
    #[serde(skip)]
    pub shutdown: PlanOptions,
    /// How a worker of a cluster shares its load, and leaves.
    #[serde(skip)]
    pub cluster: ClusterOptions,
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
            inherit: Vec::new(),
            admin: None,
            spool_directory: "/tmp".into(),
            max_threads: 1,
            min_threads: 0,
            idle_thread_timeout: None,
            time_slice: Some(TIME_SLICE),
            request_timeout: None,
            tls_reload_interval: Some(Duration::from_secs(10)),
            platform: Platform::default(),
            admin_access: AdminAccess::default(),
            probes: Probes::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            http2: Http2::default(),
            added_headers: AddedHeaders::default(),
            forwarding: Forwarding::default(),
            shutdown: PlanOptions::default(),
            cluster: ClusterOptions::default(),
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
    pub fn from_settings(mut settings: SettingsByName) -> Result<Self, Error> {
        let config = Self {
            admin_access: settings.take()?,
            probes: settings.take()?,
            timeouts: Timeouts { min_data_rate: settings.take::<DataRateSettings>()?.into(), ..settings.take()? },
            limits: settings.take()?,
            http2: settings.take()?,
            added_headers: settings.take()?,
            forwarding: settings.take()?,
            shutdown: settings.take()?,
            cluster: settings.take()?,
            logging: settings.take()?,
            ..settings.take()?
        };
        settings.finish()?;
        config.check_proxies()?;
        Ok(config)
    }

    /// An address where every connection begins with what a proxy says needs a proxy that is believed.
    fn check_proxies(&self) -> Result<(), Error> {
        let takes_header = |address: &&Address| address.wire().proxy_protocol.is_some();
        if let Some(address) = self.admin.iter().find(takes_header) {
            return Err(Error::configuration(format!("admin: {address} cannot have the PROXY protocol")));
        }
        match self.bind.iter().find(takes_header) {
            Some(address) if self.forwarding.trusted_proxies.is_empty() => Err(Error::configuration(format!(
                "bind: {address} takes connections with the PROXY protocol from trusted_proxies alone, and these are not set: they are the addresses \
                 that the proxy connects from, such as 10.0.0.0/8, loopback, private or unix"
            ))),
            _ => Ok(()),
        }
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
    pub termination_log: Option<OrAuto<PathBuf>>,
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
    /// The settings with their origins, for people: a JSON text, without secrets.
    pub settings: String,
}

impl Default for About {
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").into(), interpreter: None, settings: "[]".into() }
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
            "request_id": true, "probe_paths": true, "request_timeout": 15, "hand_over": false, "worker_shutdown_timeout": 12.5,
            "inherit": [["tcp://127.0.0.1:0", 5, true]]
        }))
        .unwrap();
        assert_eq!(config.bind, [Address::parse("tcp://127.0.0.1:0").unwrap()]);
        let inherited = Inherited { address: config.bind[0].clone(), descriptor: 5, outlives_us: true };
        assert_eq!(config.inherit, [inherited]);
        assert_eq!(config.admin.unwrap().to_string(), "unix:///run/admin.sock");
        assert!(config.admin_access.admin_token.unwrap().is(b"secret"));
        assert_eq!((config.max_threads, config.time_slice, config.platform), (4, None, Platform::Kubernetes));
        assert_eq!(
            (config.timeouts.head_timeout, config.timeouts.body_timeout),
            (Some(Duration::from_millis(2500)), None)
        );
        assert_eq!(config.limits.max_connections, OrAuto::Value(9));
        assert_eq!(config.limits.header_fields_limit, Limits::MOST_FIELDS);
        assert_eq!(config.shutdown.shutdown_timeout, OrAuto::Value(Duration::from_secs(7)));
        assert_eq!(config.request_timeout, Some(Duration::from_secs(15)));
        assert_eq!(config.logging.log_format, LogFormat::Json);
        assert_eq!(config.logging.termination_log, Some(OrAuto::Auto));
        assert_eq!((config.cluster.hand_over, config.cluster.worker_shutdown_timeout.as_millis()), (false, 12_500));
        assert!(config.added_headers.request_id && config.probes.probe_paths);
    }

    #[test]
    fn a_setting_that_was_not_passed_has_its_default() {
        let config = read(json!({})).unwrap();
        assert_eq!(config.timeouts.head_timeout, Timeouts::default().head_timeout);
        assert_eq!(config.time_slice, Some(TIME_SLICE));
        assert_eq!((config.request_timeout, config.cluster.hand_over), (None, true));
        assert_eq!(config.cluster.worker_shutdown_timeout, Duration::from_secs(30));
        assert_eq!(config.logging.termination_log, None);
        assert!(config.timeouts.min_data_rate.is_some());
    }

    #[test]
    fn a_data_rate_is_made_of_two_settings() {
        let rate =
            |settings| read(settings).unwrap().timeouts.min_data_rate.map(|rate| (rate.bytes, rate.grace.as_secs()));
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
        let address = read(json!({ "bind": ["ftp://h:443"] })).unwrap_err();
        assert!(address.starts_with("bind: \"ftp://h:443\" is not an address to listen on"), "{address}");
    }

    #[test]
    fn the_proxy_protocol_needs_a_proxy_that_is_trusted() {
        let with = |proxies: Value| {
            read(json!({ "bind": ["tcp://h:80?proxy_protocol=v2"], "trusted_proxies": proxies })).map(|_| ())
        };
        assert!(with(json!(["private"])).is_ok());
        assert!(
            with(json!([]))
                .unwrap_err()
                .starts_with("bind: tcp://h:80 takes connections with the PROXY protocol from trusted_proxies")
        );
        assert!(with(json!(["10.0.0.1/8"])).unwrap_err().starts_with("trusted_proxies: "));
        let admin =
            read(json!({ "admin": "tcp://h:80?proxy_protocol=true", "trusted_proxies": ["private"] })).unwrap_err();
        assert!(admin.starts_with("admin: tcp://h:80 cannot have"), "{admin}");
    }

    #[test]
    fn knows_platforms_by_name() {
        let platform = |name: &str| read(json!({ "platform": name })).unwrap().platform;
        let known = ["kubernetes", "container", "plain"].map(platform);
        assert_eq!(known, [Platform::Kubernetes, Platform::Container, Platform::default()]);
    }
}
