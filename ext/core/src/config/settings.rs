//! Settings by name, as the program that embeds the core passes them, and how a struct of the configuration takes its own.

use std::{slice, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

use crate::error::Error;

/// Values by the names of their settings. Each struct of settings [takes](Self::take) those that its fields are named after;
/// one that no struct has taken is [an error](Self::finish). Durations are numbers of seconds.
pub struct SettingsByName(Map<String, Value>);

impl FromIterator<(String, Value)> for SettingsByName {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(settings: I) -> Self {
        Self(settings.into_iter().collect())
    }
}

impl SettingsByName {
    /// Takes the settings that the fields of the struct `T` are named after. With `#[serde(default)]` one that was not passed
    /// has its default.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], with the name of the setting and what is wrong with its value.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        T::deserialize(Group(&mut self.0)).map_err(|wrong| Error::configuration(wrong.to_string()))
    }

    /// To be called when every struct has taken its own.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], with the name of a setting that is left.
    pub fn finish(self) -> Result<(), Error> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::configuration(format!("unknown setting: {name}"))),
        }
    }
}

/// A setting that may be left to the server: `"auto"`, or a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrAuto<T> {
    /// The server works the value out.
    #[default]
    Auto,
    /// As given.
    Value(T),
}

impl<T> OrAuto<T> {
    /// The value, unless it is left to the server.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for OrAuto<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(word) if word == "auto" => Ok(Self::Auto),
            value => T::deserialize(value).map(Self::Value).map_err(D::Error::custom),
        }
    }
}

// ===== durations =====

/// Longer than any process lives, and short enough to be added to any instant.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

fn duration<E: serde::de::Error>(seconds: f64) -> Result<Duration, E> {
    Duration::try_from_secs_f64(seconds)
        .map(|duration| duration.min(LONGEST))
        .map_err(|_| E::custom(format_args!("{seconds} is not a number of seconds")))
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    duration(f64::deserialize(deserializer)?)
}

/// `null` is for ever.
pub(super) fn seconds_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<f64>::deserialize(deserializer)?.map(duration).transpose()
}

pub(super) fn seconds_or_auto<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OrAuto<Duration>, D::Error> {
    Ok(match OrAuto::<f64>::deserialize(deserializer)? {
        OrAuto::Auto => OrAuto::Auto,
        OrAuto::Value(seconds) => OrAuto::Value(duration(seconds)?),
    })
}

/// 0 is for ever.
pub(super) fn milliseconds_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let milliseconds = u64::deserialize(deserializer)?;
    Ok((milliseconds > 0).then(|| Duration::from_millis(milliseconds).min(LONGEST)))
}

// ===== a struct's own settings =====

/// Reads a struct, and leaves what it does not name to others.
struct Group<'a>(&'a mut Map<String, Value>);

impl<'de> Deserializer<'de> for Group<'_> {
    type Error = serde_json::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_map(Entries { settings: self.0, names: fields.iter(), current: None })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("settings are read into a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Entries<'a> {
    settings: &'a mut Map<String, Value>,
    names: slice::Iter<'static, &'static str>,
    current: Option<(&'static str, Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.current = self.names.find_map(|name| Some((*name, self.settings.remove(*name)?)));
        self.current.as_ref().map(|(name, _)| seed.deserialize((*name).into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        let (name, value) = self.current.take().ok_or_else(|| Self::Error::custom("a value comes after its name"))?;
        seed.deserialize(value).map_err(|wrong| Self::Error::custom(format_args!("{name}: {wrong}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(default)]
    struct Example {
        size: usize,
        limit: OrAuto<usize>,
        #[serde(deserialize_with = "seconds_or_none")]
        timeout: Option<Duration>,
        #[serde(deserialize_with = "seconds_or_auto")]
        delay: OrAuto<Duration>,
    }

    impl Default for Example {
        fn default() -> Self {
            Self { size: 7, limit: OrAuto::Auto, timeout: Some(Duration::ZERO), delay: OrAuto::Auto }
        }
    }

    fn settings(values: Value) -> SettingsByName {
        let Value::Object(values) = values else { panic!("{values} is not an object") };
        values.into_iter().collect()
    }

    fn taken(values: Value) -> Result<Example, String> {
        settings(values).take().map_err(|error| {
            assert!(error.is_configuration());
            error.to_string()
        })
    }

    #[test]
    fn a_struct_takes_what_its_fields_are_named_after_and_leaves_the_rest() {
        let mut settings = settings(json!({ "size": 3, "other": true }));
        assert_eq!(settings.take::<Example>().unwrap(), Example { size: 3, ..Default::default() });
        assert_eq!(settings.finish().unwrap_err().to_string(), "unknown setting: other");
    }

    #[test]
    fn auto_is_a_word_and_none_is_null() {
        let auto = taken(json!({ "limit": "auto", "delay": "auto", "timeout": null })).unwrap();
        assert_eq!(auto, Example { timeout: None, ..Default::default() });
        let fixed = taken(json!({ "limit": 5, "delay": 0.25, "timeout": 2 })).unwrap();
        assert_eq!((fixed.limit, fixed.delay), (OrAuto::Value(5), OrAuto::Value(Duration::from_millis(250))));
        assert_eq!(fixed.timeout, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_wrong_value_is_an_error_with_the_name_of_its_setting() {
        for (values, expected) in [
            (json!({ "timeout": -1.0 }), "timeout: -1 is not a number of seconds"),
            (json!({ "delay": "soon" }), "delay: invalid type: string \"soon\", expected f64"),
            (json!({ "limit": -1 }), "limit: invalid value: integer `-1`, expected usize"),
            (json!({ "size": null }), "size: invalid type: null, expected usize"),
        ] {
            assert_eq!(taken(values).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_duration_is_never_too_long_to_be_added_to_an_instant() {
        let endless = taken(json!({ "timeout": 1e19 })).unwrap().timeout.unwrap();
        assert!(std::time::Instant::now().checked_add(endless).is_some());
    }
}
