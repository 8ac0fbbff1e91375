//! What Ruby passes when it makes a server: settings by their names, and beside them the objects that the app's side needs.
//! Ruby has validated the settings; what is wrong here is a mistake of ours, and the error names the setting.

use std::os::fd::RawFd;

use magnus::{
    Error, Float, Integer, Module, RArray, RHash, RModule, RString, Ruby, Symbol, Value, r_hash::ForEach, scan_args,
    value::ReprValue,
};
use serde::Deserialize;
use serde_json::{Number, Value as Json};
use tidegate_core::{About, Config, Interpreter, OrAuto, SettingsByName};

use crate::{error, rack::header_keys::Underscores};

/// The settings that the binding acts on, and not the core.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct RackSettings {
    /// Whether the app may send 103 Early Hints.
    pub(crate) early_hints: bool,
    /// What is to become of header names with underscores.
    allow_underscore_headers: OrAuto<bool>,
}

impl Default for RackSettings {
    fn default() -> Self {
        Self { early_hints: false, allow_underscore_headers: OrAuto::Auto }
    }
}

impl RackSettings {
    /// What is to become of header names with underscores.
    pub(crate) fn underscores(&self) -> Underscores {
        match self.allow_underscore_headers {
            OrAuto::Auto => Underscores::Unambiguous,
            OrAuto::Value(true) => Underscores::All,
            OrAuto::Value(false) => Underscores::None,
        }
    }
}

/// Reads the Hash of settings: the app's side and the core take those that they know, and one that is left is an error.
pub(crate) fn read(ruby: &Ruby, hash: RHash) -> Result<(Config, RackSettings), Error> {
    let mut values = Vec::with_capacity(hash.len());
    hash.foreach(|name: Symbol, value: Value| {
        let name = name.name()?.into_owned();
        let value = json(ruby, &name, value)?;
        values.push((name, value));
        Ok(ForEach::Continue)
    })?;
    let mut settings: SettingsByName = values.into_iter().collect();
    let raise = |wrong| error::raise(ruby, &wrong);
    let rack = settings.take().map_err(raise)?;
    let mut config = Config::from_settings(settings).map_err(raise)?;
    config.about = about(ruby)?;
    Ok((config, rack))
}

/// A setting's value as the core takes it; a Symbol is a word like any other.
fn json(ruby: &Ruby, name: &str, value: Value) -> Result<Json, Error> {
    let cannot = || error::configuration(ruby, format!("{name} cannot be {}", value.inspect()));
    if value.is_nil() {
        Ok(Json::Null)
    } else if let Some(symbol) = Symbol::from_value(value) {
        Ok(Json::String(symbol.name()?.into_owned()))
    } else if let Some(text) = RString::from_value(value) {
        Ok(Json::String(text.to_string()?))
    } else if let Some(integer) = Integer::from_value(value) {
        let number = integer.to_i64().map(Number::from).or_else(|_| integer.to_u64().map(Number::from));
        number.map(Json::Number).map_err(|_| cannot())
    } else if let Some(float) = Float::from_value(value) {
        Number::from_f64(float.to_f64()).map(Json::Number).ok_or_else(cannot)
    } else if let Some(array) = RArray::from_value(value) {
        array.into_iter().map(|element| json(ruby, name, element)).collect::<Result<_, _>>().map(Json::Array)
    } else if value.is_kind_of(ruby.class_true_class()) || value.is_kind_of(ruby.class_false_class()) {
        Ok(Json::Bool(value.to_bool()))
    } else {
        Err(cannot())
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
        ..About::default()
    })
}

/// What each call of the app needs.
pub(crate) struct AppSettings {
    /// The settings among them.
    pub(crate) rack: RackSettings,
    /// The env entries that are the same for every request.
    pub(crate) env_template: RHash,
    /// The `Tidegate::Delivery` that sees each response to its end.
    pub(crate) delivery: Value,
    /// The `Tidegate::Hijacked` that makes sockets of descriptors.
    pub(crate) hijacked: Value,
}

/// Where the logs write, and what of them goes through Ruby.
pub(crate) struct LogDescriptors {
    /// What the server does, and a line for each request; `None` for nowhere.
    pub(crate) log: Option<RawFd>,
    /// What is wrong.
    pub(crate) errors: Option<RawFd>,
    /// Whether the server's lines do.
    pub(crate) relays_lines: bool,
    /// Whether the lines of requests do.
    pub(crate) relays_access: bool,
}

impl LogDescriptors {
    /// Whether anything goes through Ruby.
    pub(crate) fn is_relayed(&self) -> bool {
        self.relays_lines || self.relays_access
    }
}

/// Reads the keywords that Ruby passes beside the settings.
pub(crate) fn read_keywords(rack: RackSettings, keywords: RHash) -> Result<(AppSettings, LogDescriptors), Error> {
    let names = ["env_template", "delivery", "hijacked", "log", "errors"];
    let keywords = scan_args::get_kwargs::<
        _,
        (RHash, Value, Value, Option<RawFd>, Option<RawFd>),
        (Option<(bool, bool)>,),
        (),
    >(keywords, &names, &["relayed"])?;
    let (env_template, delivery, hijacked, log, errors) = keywords.required;
    let app = AppSettings { rack, env_template, delivery, hijacked };
    let (relays_lines, relays_access) = keywords.optional.0.unwrap_or_default();
    Ok((app, LogDescriptors { log, errors, relays_lines, relays_access }))
}
