//! Values with their places in the text.

use std::{borrow::Cow, fmt, marker::PhantomData, net::IpAddr, ops::Deref, time::Duration};

use lb_model::patterns;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_spanned::Spanned;

/// A value and its place.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Located<T>(Spanned<T>);

/// A duration such as `500ms`, `2s` or `1h 30m`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period(Duration);

/// An IP address of a host; names are rejected.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostAddress(IpAddr);

/// A type that is read from the keys of a table.
pub(super) trait Table: Sized {
    fn of_keys<'de, D: Deserializer<'de>>(keys: D) -> Result<Self, D::Error>;
}

/// Reads a table, and nothing else.
pub(super) fn table<'de, T: Table, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Keys(PhantomData))
}

struct Keys<T>(PhantomData<T>);

impl<'de, T: Table> Visitor<'de> for Keys<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<T, A::Error> {
        T::of_keys(MapAccessDeserializer::new(keys))
    }
}

/// Parses a duration. The error consists of the fault and, after a comma, the expected form.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a duration, as in \"500ms\", \"2s\" or \"1h 30m\"";
    let text = text.trim();
    if text.starts_with('-') {
        return Err(format!("{text} is negative, {EXPECTED}"));
    }
    text.parse::<humantime_serde::re::humantime::Duration>().map(Into::into).map_err(|_| {
        if text.parse::<f64>().is_ok() {
            return format!(
                "{text} has no unit, expected one, as in \"{text}s\" for seconds or \"{text}ms\" \
                 for milliseconds"
            );
        }
        format!("`{text}` is not a duration, {EXPECTED}")
    })
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationText).map(Self)
    }
}

struct DurationText;

impl Visitor<'_> for DurationText {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration, as in \"500ms\", \"2s\" or \"1h 30m\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        duration(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Duration, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de> Deserialize<'de> for HostAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            de::Error::custom(format_args!(
                "{text} is not an IP address, expected one, as in \"10.0.0.1\": names are not looked up"
            ))
        })
    }
}

impl Deref for HostAddress {
    type Target = IpAddr;

    fn deref(&self) -> &IpAddr {
        &self.0
    }
}

impl JsonSchema for HostAddress {
    fn inline_schema() -> bool {
        IpAddr::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        IpAddr::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        IpAddr::json_schema(generator)
    }
}

impl<T> Deref for Located<T> {
    type Target = Spanned<T>;

    fn deref(&self) -> &Spanned<T> {
        &self.0
    }
}

impl Deref for Period {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "format": "period", "pattern": patterns::PERIOD,
            "examples": ["500ms", "2s", "1h 30m"],
        })
    }
}
