//! Schedulers by their names in the file; those of the program are in [`schedule`].

use lb_common::schedule;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Selection of a backend for a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = with_aliases)]
pub enum Scheduler {
    /// Backends in turn.
    #[default]
    #[serde(alias = "rr", alias = "wrr", alias = "roundrobin")]
    RoundRobin,
    /// The backend with fewer connections of two picked at random.
    #[serde(alias = "lc", alias = "wlc", alias = "leastconn")]
    LeastConnections,
    /// Maglev hashing of the client's address and port.
    #[serde(alias = "mh")]
    Maglev,
    /// Hash of the client's address.
    #[serde(alias = "sh")]
    SourceHash,
    /// Random backend.
    Random,
}

/// Other names of schedulers, as in the `alias` attributes of [`Scheduler`].
const ALIASES: [(&str, &[&str]); 4] = [
    ("round-robin", &["rr", "wrr", "roundrobin"]),
    ("least-connections", &["lc", "wlc", "leastconn"]),
    ("maglev", &["mh"]),
    ("source-hash", &["sh"]),
];

fn with_aliases(schema: &mut Schema) {
    let choices = schema.as_object_mut().and_then(|schema| schema.get_mut("oneOf"));
    let Some(choices) = choices.and_then(Value::as_array_mut) else { return };
    choices.extend(ALIASES.map(|(name, aliases)| {
        json!({ "enum": aliases, "description": format!("Other names of `{name}`.") })
    }));
}

impl From<Scheduler> for schedule::Scheduler {
    fn from(scheduler: Scheduler) -> Self {
        match scheduler {
            Scheduler::RoundRobin => Self::RoundRobin,
            Scheduler::LeastConnections => Self::LeastConnections,
            Scheduler::Maglev => Self::Maglev,
            Scheduler::SourceHash => Self::SourceHash,
            Scheduler::Random => Self::Random,
        }
    }
}
