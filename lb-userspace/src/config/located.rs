//! Values, and where in the text they stand.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_spanned::Spanned;

/// A value and its place.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Located<T>(Spanned<T>);

/// A duration as people write it: `500ms`, `2s`, `1h 30m`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Period(humantime_serde::Serde<Duration>);

/// What is read of a table's keys.
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
        json_schema!({ "type": "string", "format": "duration", "examples": ["500ms", "2s", "1h 30m"] })
    }
}
