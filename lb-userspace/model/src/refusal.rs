//! Errors of requests.

use std::{borrow::Cow, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Error of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound(String),
    /// A name, a VIP or a backend is taken.
    Conflict(String),
    Invalid(String),
    /// Keys of the request have invalid values.
    InvalidKeys(Vec<KeyFault>),
    /// A configuration file is invalid. The report shows all errors, as `xdplb check` does.
    InvalidFile {
        detail: String,
        errors: Vec<KeyFault>,
        report: String,
    },
    /// The document has another version than the request was made for.
    Stale(String),
    Failed(String),
    /// The request may succeed later.
    Busy(String),
}

impl Refusal {
    /// Returns one sentence.
    #[must_use]
    pub fn detail(&self) -> Cow<'_, str> {
        match self {
            Self::InvalidKeys(faults) => KeyFault::sentence(faults).into(),
            Self::NotFound(detail)
            | Self::Conflict(detail)
            | Self::Invalid(detail)
            | Self::InvalidFile { detail, .. }
            | Self::Stale(detail)
            | Self::Failed(detail)
            | Self::Busy(detail) => detail.into(),
        }
    }
}

/// An invalid value in the body of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyFault {
    pub detail: String,
    /// JSON pointer to the value, such as `#/health/interval`.
    pub pointer: String,
}

impl KeyFault {
    /// Creates the fault of the value at a path of keys and indices.
    #[must_use]
    pub fn at(path: &[String], detail: impl Into<String>) -> Self {
        let keys = path.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1")));
        Self { detail: detail.into(), pointer: format!("#{}", keys.collect::<String>()) }
    }

    /// Formats faults in one sentence: the first one and the number of others.
    #[must_use]
    pub fn sentence(faults: &[Self]) -> String {
        match faults {
            [] => String::new(),
            [one] => one.to_string(),
            [first, others @ ..] => format!("{first} ({})", more_errors(others.len())),
        }
    }
}

/// Formats a number of errors that are not shown.
#[must_use]
pub fn more_errors(count: usize) -> String {
    let noun = if count == 1 { "error" } else { "errors" };
    format!("{count} more {noun}")
}

/// Formats the detail, with the key in front unless it names the key.
impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.pointer.trim_start_matches('#').trim_start_matches('/');
        let last = key.rsplit('/').next().unwrap_or_default();
        if key.is_empty() || self.detail.contains(&format!("`{last}`")) {
            return f.write_str(&self.detail);
        }
        write!(
            f,
            "`{}`: {}",
            key.replace('/', ".").replace("~1", "/").replace("~0", "~"),
            self.detail
        )
    }
}

impl std::error::Error for KeyFault {}

const BAD_REQUEST: u16 = 400;
const UNPROCESSABLE_CONTENT: u16 = 422;

/// Problem details of a failed request (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    pub r#type: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// Keys of the body with invalid values, as far as known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<KeyFault>,
    /// All errors of a configuration file, as `xdplb check` prints them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<str>>,
}

impl Problem {
    /// Returns true if the content of the request is invalid.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        [BAD_REQUEST, UNPROCESSABLE_CONTENT].contains(&self.status)
    }
}
