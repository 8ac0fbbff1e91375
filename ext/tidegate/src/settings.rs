//! The resolved Ruby configuration, as the core takes it. Ruby has validated it; what is wrong here is a
//! programming error and says so.

use std::{os::fd::RawFd, sync::Arc, time::Duration};

use magnus::{Error, Module, RHash, RModule, Ruby, Symbol, TryConvert, Value, value::ReprValue};
use tidegate_core::{
    About, AddedHeaders, Address, AdminAccess, Clamped, Config, Format, Interpreter, Limits, Log, Logs, MinRate, Plan,
    PlanOptions, Platform, Probes, SLICE, Setting, TerminationLog, Timeouts, Token,
};

use crate::{error, rack::header_keys::Underscores};

/// What the Ruby side passes.
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// What of the shutdown plan did not fit.
    pub(crate) clamped: Vec<Clamped>,
    /// Where what the server says goes.
    pub(crate) logs: Logs,
    /// Where each request gets a line, and how it looks.
    pub(crate) access: Option<(RawFd, Format)>,
    /// How long a thread may compute while others want the GVL; `None` for as long as Ruby allows.
    pub(crate) time_slice: Option<Duration>,
    /// What concerns the app.
    pub(crate) boundary: AppSettings,
}

/// What the Ruby side passes for the calling of the app.
pub(crate) struct AppSettings {
    /// Whether the app may send 103 Early Hints.
    pub(crate) early_hints: bool,
    /// The env entries that are the same for every request.
    pub(crate) env_template: RHash,
    /// What is to become of header names with underscores.
    pub(crate) underscores: Underscores,
    /// The `Tidegate::Delivery` that sees each response to its end.
    pub(crate) delivery: Value,
    /// The `Tidegate::Hijacked` that makes sockets of descriptors.
    pub(crate) hijacked: Value,
}

const NAMES: &[&str] = &[
    "binds",
    "admin",
    "admin_token",
    "admin_hosts",
    "platform",
    "spool_directory",
    "max_threads",
    "min_threads",
    "idle_thread_timeout",
    "max_queue",
    "queue_timeout",
    "time_slice",
    "first_data_timeout",
    "head_timeout",
    "body_timeout",
    "persistent_timeout",
    "write_timeout",
    "receive_timeout",
    "min_data_rate",
    "min_data_rate_grace",
    "max_connections",
    "buffer_limit",
    "http_content_length_limit",
    "body_memory_limit",
    "head_limit",
    "header_fields_limit",
    "stream_input",
    "drain_delay",
    "shutdown_timeout",
    "termination_grace",
    "prestop",
    "drain_until_quiet",
    "drain_fail_paths",
    "probe_paths",
    "liveness_timeout",
    "termination_log",
    "log",
    "errors",
    "delivery",
    "env_template",
    "allow_underscore_headers",
    "request_id",
    "request_start",
    "log_requests",
    "log_format",
    "early_hints",
    "hijacked",
];

impl Settings {
    pub(crate) fn read(ruby: &Ruby, hash: RHash) -> Result<Self, Error> {
        hash.foreach(|name: Symbol, _: Value| {
            let name = name.name()?.into_owned();
            if NAMES.contains(&name.as_str()) {
                return Ok(magnus::r_hash::ForEach::Continue);
            }
            Err(Error::new(ruby.exception_arg_error(), format!("unknown setting: {name}")))
        })?;
        let reader = Reader { ruby, hash };
        let request = PlanOptions {
            drain_delay: reader.setting("drain_delay")?,
            shutdown_timeout: reader.seconds("shutdown_timeout")?,
            termination_grace: reader.setting("termination_grace")?,
            prestop: reader.seconds("prestop")?.unwrap_or_default(),
            until_quiet: reader.get("drain_until_quiet")?.unwrap_or(false),
        };
        let platform = reader.platform()?;
        let (plan, clamped) = Plan::resolve(request, platform);
        let defaults = Limits::default();
        let config = Config {
            binds: reader
                .get::<Vec<String>>("binds")?
                .unwrap_or_default()
                .iter()
                .map(|text| reader.address(text))
                .collect::<Result<_, _>>()?,
            admin: reader.get::<String>("admin")?.map(|text| reader.address(&text)).transpose()?,
            admin_access: AdminAccess {
                token: reader.get::<String>("admin_token")?.map(Token::new),
                hosts: reader.get("admin_hosts")?.unwrap_or_default(),
            },
            probes: Probes {
                probe_paths: reader.get("probe_paths")?.unwrap_or(false),
                drain_fail_paths: reader.get("drain_fail_paths")?.unwrap_or_default(),
                liveness_timeout: reader.seconds("liveness_timeout")?,
            },
            timeouts: Timeouts {
                first_data_timeout: reader.seconds("first_data_timeout")?,
                head_timeout: reader.seconds("head_timeout")?,
                body_timeout: reader.seconds("body_timeout")?,
                persistent_timeout: reader.seconds("persistent_timeout")?,
                write_timeout: reader.seconds("write_timeout")?,
                receive_timeout: reader.seconds("receive_timeout")?,
                min_data_rate: reader.min_rate()?,
            },
            limits: Limits {
                head_limit: reader.get("head_limit")?.unwrap_or(defaults.head_limit),
                header_fields_limit: reader
                    .get::<usize>("header_fields_limit")?
                    .map_or(defaults.header_fields_limit, |fields| fields.min(Limits::MOST_FIELDS)),
                http_content_length_limit: reader.get("http_content_length_limit")?,
                body_memory_limit: reader.get("body_memory_limit")?.unwrap_or(defaults.body_memory_limit),
                stream_input: reader.get("stream_input")?.unwrap_or(false),
                buffer_limit: reader.get("buffer_limit")?,
                max_connections: reader.number("max_connections")?,
                max_queue: reader.get("max_queue")?.unwrap_or(defaults.max_queue),
                queue_timeout: reader.seconds("queue_timeout")?,
            },
            spool_directory: reader.get::<String>("spool_directory")?.unwrap_or_else(|| "/tmp".into()).into(),
            added_headers: AddedHeaders {
                request_id: reader.get("request_id")?.unwrap_or(false),
                request_start: reader.get("request_start")?.unwrap_or(false),
            },
            max_threads: reader.get("max_threads")?.unwrap_or(1),
            min_threads: reader.get("min_threads")?.unwrap_or(0),
            idle_thread_timeout: reader.seconds("idle_thread_timeout")?,
            plan,
            about: about(ruby)?,
        };
        Ok(Self {
            config,
            clamped,
            access: reader.access()?,
            logs: reader.logs(platform)?,
            time_slice: match reader.get::<u64>("time_slice")? {
                None => Some(SLICE),
                Some(0) => None,
                Some(milliseconds) => Some(Duration::from_millis(milliseconds)),
            },
            boundary: AppSettings {
                early_hints: reader.get("early_hints")?.unwrap_or(false),
                underscores: match reader.get::<Value>("allow_underscore_headers")? {
                    Some(value) if Symbol::from_value(value).is_some() => Underscores::Unambiguous,
                    Some(value) if value.to_bool() => Underscores::All,
                    Some(_) => Underscores::None,
                    None => Underscores::Unambiguous,
                },
                delivery: reader.get("delivery")?.unwrap_or_else(|| ruby.qnil().as_value()),
                env_template: reader.get("env_template")?.unwrap_or_else(|| ruby.hash_new()),
                hijacked: reader.get("hijacked")?.unwrap_or_else(|| ruby.qnil().as_value()),
            },
        })
    }
}

/// What the server and its Ruby call themselves.
fn about(ruby: &Ruby) -> Result<About, Error> {
    let constants = ruby.class_object();
    Ok(About {
        version: constants.const_get::<_, RModule>("Tidegate")?.const_get("VERSION")?,
        interpreter: Some(Interpreter {
            engine: constants.const_get("RUBY_ENGINE")?,
            version: constants.const_get("RUBY_VERSION")?,
            patchlevel: constants.const_get("RUBY_PATCHLEVEL")?,
        }),
    })
}

struct Reader<'a> {
    ruby: &'a Ruby,
    hash: RHash,
}

impl Reader<'_> {
    fn get<T: TryConvert>(&self, name: &str) -> Result<Option<T>, Error> {
        let value: Option<Value> = self.hash.lookup(self.ruby.to_symbol(name))?;
        match value {
            None => Ok(None),
            Some(value) => T::try_convert(value).map(Some),
        }
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, Error> {
        self.get::<f64>(name)?.map(|seconds| self.duration(name, seconds)).transpose()
    }

    fn duration(&self, name: &str, seconds: f64) -> Result<Duration, Error> {
        // Longer than any process lives, and short enough to be added to any instant.
        const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
        Duration::try_from_secs_f64(seconds)
            .map(|duration| duration.min(LONGEST))
            .map_err(|_| error::configuration(self.ruby, format!("{name} {seconds} is not a number of seconds")))
    }

    fn setting(&self, name: &str) -> Result<Setting, Error> {
        match self.get::<Value>(name)? {
            None => Ok(Setting::Auto),
            Some(value) if Symbol::from_value(value).is_some() => Ok(Setting::Auto),
            Some(value) => Ok(Setting::Fixed(self.duration(name, f64::try_convert(value)?)?)),
        }
    }

    /// `None` for `:auto`.
    fn number(&self, name: &str) -> Result<Option<usize>, Error> {
        match self.get::<Value>(name)? {
            Some(value) if Symbol::from_value(value).is_none() => usize::try_convert(value).map(Some),
            _ => Ok(None),
        }
    }

    fn min_rate(&self) -> Result<Option<MinRate>, Error> {
        let over = self.seconds("min_data_rate_grace")?.unwrap_or(MinRate::default().over);
        let bytes = self.get::<u64>("min_data_rate")?.filter(|bytes| *bytes > 0);
        Ok(bytes.map(|bytes| MinRate { bytes, over }))
    }

    fn platform(&self) -> Result<Platform, Error> {
        let Some(name) = self.get::<Symbol>("platform")? else { return Ok(Platform::default()) };
        let name = name.name()?;
        Platform::named(&name)
            .ok_or_else(|| Error::new(self.ruby.exception_arg_error(), format!("there is no platform {name}")))
    }

    fn address(&self, text: &str) -> Result<Address, Error> {
        Address::parse(text).map_err(|error| error::raise(self.ruby, &error))
    }

    fn access(&self) -> Result<Option<(RawFd, Format)>, Error> {
        if !self.get("log_requests")?.unwrap_or(false) {
            return Ok(None);
        }
        let format = if self.json()? { Format::Json } else { Format::Combined };
        Ok(self.get::<i32>("log")?.map(|descriptor| (descriptor, format)))
    }

    fn termination_log(&self, platform: Platform) -> Result<Option<TerminationLog>, Error> {
        Ok(match self.get::<Value>("termination_log")? {
            None => None,
            Some(value) if Symbol::from_value(value).is_some() => TerminationLog::of(platform),
            Some(value) => Some(TerminationLog::at(String::try_convert(value)?)),
        })
    }

    fn logs(&self, platform: Platform) -> Result<Logs, Error> {
        let (notices, errors) = (self.log("log")?.map(Arc::new), self.log("errors")?.map(Arc::new));
        // One log for both keeps the order of their lines.
        let errors = match &notices {
            Some(notices) => errors.map(|errors| if notices.is_same_file(&errors) { notices.clone() } else { errors }),
            None => errors,
        };
        Ok(Logs { notices, errors, last_words: self.termination_log(platform)?.map(Arc::new) })
    }

    /// The log that writes to the descriptor of that name.
    fn log(&self, name: &str) -> Result<Option<Log>, Error> {
        let failed = |cause| Error::new(self.ruby.exception_io_error(), format!("{name}: {cause}"));
        let json = self.json()?;
        self.get::<i32>(name)?.map(|descriptor| Ok(Log::to(descriptor).map_err(failed)?.in_json(json))).transpose()
    }

    fn json(&self) -> Result<bool, Error> {
        let format = self.get::<Symbol>("log_format")?;
        format.map_or(Ok(false), |format| format.name().map(|name| name == "json"))
    }
}
