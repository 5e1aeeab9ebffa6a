//! Changes by requests.

use std::{fmt, net::SocketAddr};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Admin, Backend, Keys, address, patterns, secrets::shown_of, weight};

#[derive(Clone, Debug)]
pub enum Change {
    AddService { name: String, keys: Keys },
    SetService { name: String, keys: Keys },
    RemoveService { name: String },
    AddBackend { service: String, backend: Backend },
    SetBackend { service: String, address: SocketAddr, settings: Settings },
    RemoveBackend { service: String, address: SocketAddr },
}

impl Change {
    #[must_use]
    pub fn service(&self) -> &str {
        match self {
            Self::AddService { name: service, .. }
            | Self::SetService { name: service, .. }
            | Self::RemoveService { name: service }
            | Self::AddBackend { service, .. }
            | Self::SetBackend { service, .. }
            | Self::RemoveBackend { service, .. } => service,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddService { name, .. } => write!(f, "{name} added"),
            Self::RemoveService { name } => write!(f, "{name} removed"),
            Self::SetService { name, keys } => {
                let mut words = Vec::new();
                describe("", keys, &mut words);
                write!(f, "{name} set to {}", words.join(", "))
            }
            Self::AddBackend { service, backend } => {
                write!(f, "{service}: {} added with weight {}", backend.address, backend.weight)
            }
            Self::RemoveBackend { service, address } => write!(f, "{service}: {address} removed"),
            Self::SetBackend { service, address, settings } => {
                write!(f, "{service}: {address} set to {settings}")
            }
        }
    }
}

/// Adds keys, dotted as in the file, with their values, as in `health.rise 3`.
fn describe(prefix: &str, keys: &Keys, words: &mut Vec<String>) {
    for (key, value) in keys {
        let key = format!("{prefix}{key}");
        match shown_of(&key, value) {
            Value::Object(table) => describe(&format!("{key}."), &table, words),
            value => words.push(format!("{key} {}", plain(&value))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "back to its default".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    }
}

/// Settings of a backend to change; others stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = until_is_for_draining)]
pub struct Settings {
    #[serde(
        default,
        deserialize_with = "weight::deserialize_some",
        skip_serializing_if = "Option::is_none"
    )]
    pub weight: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// End of draining; only valid if `admin` is `draining`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.weight.map(|weight| format!("weight {weight}")),
            self.backup.map(|backup| if backup { "backup" } else { "no backup" }.to_owned()),
            self.admin.as_ref().map(Admin::to_string),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

fn until_is_for_draining(schema: &mut Schema) {
    let draining = serde_json::json!({
        "required": ["admin"],
        "properties": { "admin": { "const": "draining" } },
    });
    let condition = serde_json::json!({
        "required": ["until"],
        "properties": { "until": { "type": "string" } },
    });
    schema.insert("if".to_owned(), condition);
    schema.insert("then".to_owned(), draining);
}

/// Body of a new backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBackend {
    #[serde(deserialize_with = "address::deserialize")]
    #[schemars(regex(pattern = patterns::ADDRESS))]
    pub address: SocketAddr,
    #[serde(default = "one", deserialize_with = "weight::deserialize")]
    pub weight: u16,
    #[serde(default)]
    pub backup: bool,
}

fn one() -> u16 {
    1
}

/// Text of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Path of the file, for messages.
    pub path: String,
    pub text: String,
}

/// Body of a rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Default: the version before the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}
