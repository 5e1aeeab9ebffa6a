//! Shares, written as in `30%`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::patterns;

/// 0 to 100, written as in `30%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u8);

impl Percent {
    /// Returns true if a part of a whole is less than this.
    #[must_use]
    pub fn exceeds(self, part: u64, whole: u64) -> bool {
        part * 100 < whole * u64::from(self.0)
    }

    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.strip_suffix('%').map(str::trim_end).and_then(|text| text.parse().ok());
        let number = number.filter(|_| !text.starts_with('+'));
        let valid = number.filter(|number| *number <= 100).map(Self);
        valid.ok_or_else(|| format!("`{text}` is not a share: write 0% to 100%, as in \"30%\""))
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "percent", "pattern": patterns::PERCENT })
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        format!("{}%", percent.0)
    }
}
