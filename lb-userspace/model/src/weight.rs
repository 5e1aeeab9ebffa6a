//! Weights in requests.

use serde::{Deserialize, Deserializer};

/// Deserializes a weight of a request, with the error of a file.
pub fn deserialize<'de, D: Deserializer<'de>>(value: D) -> Result<u16, D::Error> {
    weight(i64::deserialize(value)?)
}

/// Like [`deserialize`], for an optional weight.
pub fn deserialize_some<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u16>, D::Error> {
    Option::<i64>::deserialize(value)?.map(weight).transpose()
}

fn weight<E: serde::de::Error>(number: i64) -> Result<u16, E> {
    let out_of_range =
        |_| E::custom(format_args!("weight {number} is out of range: it is 0 to 65535"));
    u16::try_from(number).map_err(out_of_range)
}
