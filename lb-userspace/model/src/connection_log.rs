//! The connection log: where it goes, and what it has.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the connection log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionLog {
    pub to: LogTarget,
    /// Of a file.
    #[serde(skip_serializing_if = "LineFormat::is_default")]
    pub format: LineFormat,
    /// Names of services. All, if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Whether handshakes that were never completed are logged, too.
    pub unfinished: bool,
    /// Maximum number of lines per second, on average of [ten seconds](Self::BURST_SECONDS).
    pub per_second: u32,
}

impl ConnectionLog {
    pub const PER_SECOND: u32 = 10_000;
    pub const BURST_SECONDS: u32 = 10;

    /// Returns true if connections of a service are logged.
    #[must_use]
    pub fn wants(&self, service: Option<&str>) -> bool {
        let is_wanted = |name| self.services.iter().any(|one| one == name);
        self.services.is_empty() || service.is_some_and(is_wanted)
    }
}

/// Where the connection log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum LogTarget {
    /// The daemon's log.
    Log,
    File(PathBuf),
}

impl LogTarget {
    /// The daemon's log in the file.
    pub const LOG: &str = "log";
}

impl From<LogTarget> for String {
    fn from(target: LogTarget) -> Self {
        target.to_string()
    }
}

impl fmt::Display for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str(Self::LOG),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Format of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineFormat {
    /// Keys as in `service=web`.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl LineFormat {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_selected() {
        let log = |services: &[&str]| ConnectionLog {
            to: LogTarget::Log,
            format: LineFormat::Text,
            services: services.iter().map(ToString::to_string).collect(),
            unfinished: false,
            per_second: 1,
        };
        for (services, service, expected) in [
            (&[][..], Some("web"), true),
            (&[], None, true),
            (&["web"], Some("web"), true),
            (&["web"], Some("db"), false),
            (&["web"], None, false),
        ] {
            assert_eq!(log(services).wants(service), expected, "{services:?} {service:?}");
        }
    }
}
