//! Human-readable differences of documents.

use std::{fmt, net::SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub kind: Kind,
    /// None for a setting of the daemon itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<SocketAddr>,
    /// Key as in the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub from: Value,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub to: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Add,
    Change,
    Remove,
}

impl Step {
    /// A service that is removed.
    #[must_use]
    pub fn removal(service: &str, vip: SocketAddr) -> Self {
        Self::of(Kind::Remove, service).from(vip.to_string())
    }

    /// A backend that was down, waited for the operator and is let back.
    #[must_use]
    pub fn failback(service: &str, backend: SocketAddr) -> Self {
        let step = Self::of(Kind::Change, service).at(backend).from("waiting").to("done");
        Self { key: Some("failback".to_owned()), ..step }
    }

    #[must_use]
    pub fn bare(kind: Kind) -> Self {
        let nothing = Value::Null;
        Self { kind, service: None, backend: None, key: None, from: nothing.clone(), to: nothing }
    }

    #[must_use]
    pub fn of(kind: Kind, service: &str) -> Self {
        Self { service: Some(service.to_owned()), ..Self::bare(kind) }
    }

    #[must_use]
    pub fn at(self, backend: SocketAddr) -> Self {
        Self { backend: Some(backend), ..self }
    }

    #[must_use]
    pub fn from(self, value: impl Into<Value>) -> Self {
        Self { from: value.into(), ..self }
    }

    #[must_use]
    pub fn to(self, value: impl Into<Value>) -> Self {
        Self { to: value.into(), ..self }
    }
}

/// Formats as `+ web: 10.0.0.1:80`, or `~ web: scheduler: round-robin -> maglev`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            Kind::Add => '+',
            Kind::Change => '~',
            Kind::Remove => '-',
        };
        let backend = self.backend.map(|backend| backend.to_string());
        let names = [self.service.as_ref(), backend.as_ref(), self.key.as_ref()];
        let names: Vec<_> = names.into_iter().flatten().map(String::as_str).collect();
        write!(f, "{sign} {}", names.join(": "))?;
        match (&self.from, &self.to) {
            (Value::Null, Value::Null) => Ok(()),
            (Value::Null, value) | (value, Value::Null) if self.kind != Kind::Change => {
                write!(f, ": {}", shown(value))
            }
            (from, to) => write!(f, ": {} -> {}", shown(from), shown(to)),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(object) => {
            let pairs = object.iter().map(|(key, value)| format!("{key} {}", shown(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
