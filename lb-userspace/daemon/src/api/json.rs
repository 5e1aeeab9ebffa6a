//! Bodies: one JSON object without duplicate keys.

use std::{collections::HashSet, fmt, marker::PhantomData};

use axum::http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
    },
};
use serde_json::error::Category;
use serde_path_to_error::Segment;

use super::{Failed, wording};

/// Parses a body.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failed> {
    let Object(value) = read(body)?;
    // Serde itself accepts duplicate keys of a map and takes the last one.
    read::<Unrepeated>(body)?;
    Ok(value)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failed> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| refused(keys(error.path()), error.inner()))?;
    deserializer.end().map_err(|error| refused(Vec::new(), &error))?;
    Ok(value)
}

fn keys(path: &serde_path_to_error::Path) -> Vec<String> {
    let keys = path.iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    keys.collect()
}

fn refused(path: Vec<String>, error: &serde_json::Error) -> Failed {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Data => {
            let place = format!(" at line {line} column {column}");
            let message = error.to_string();
            let message = message.strip_suffix(&place).unwrap_or(&message);
            Failed::of_keys(vec![wording::of_body(path, message)])
        }
        Category::Eof => malformed("the body ends within its JSON: send one whole object"),
        Category::Syntax | Category::Io => malformed(format!(
            "the body is not valid JSON at line {line}, column {column}: send one object, as in \
             {{\"key\": \"value\"}}"
        )),
    }
}

fn malformed(detail: impl Into<String>) -> Failed {
    Failed::new(StatusCode::BAD_REQUEST, detail)
}

/// A JSON object. Serde also accepts an array of values for a struct.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

/// Any JSON value without duplicate keys.
struct Unrepeated;

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unrepeated {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self, A::Error> {
        while values.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = members.next_key::<String>()? {
            members.next_value::<Self>()?;
            if keys.contains(&key) {
                return Err(A::Error::custom(format_args!("the key `{key}` is given twice")));
            }
            keys.insert(key);
        }
        Ok(self)
    }
}
