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

/// Turns of `round-robin`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Turns {
    /// One rotation for all CPUs.
    #[default]
    Strict,
    /// A rotation for each CPU, so that CPUs that open connections at the same time do not wait for each
    /// other: with n CPUs, each backend of weight 1 gets at most n connections more or fewer than by
    /// `strict`.
    PerCpu,
}

impl Scheduler {
    /// Returns true if backends take turns.
    #[must_use]
    pub fn takes_turns(self) -> bool {
        self == Self::RoundRobin
    }

    /// Returns true if backends are compared by their connections.
    #[must_use]
    pub fn compares(self) -> bool {
        self == Self::LeastConnections
    }

    /// Returns the program's scheduler.
    #[must_use]
    pub fn with(self, turns: Turns) -> schedule::Scheduler {
        use schedule::Scheduler;

        match self {
            Self::RoundRobin if turns == Turns::PerCpu => Scheduler::RoundRobinPerCpu,
            Self::RoundRobin => Scheduler::RoundRobin,
            Self::LeastConnections => Scheduler::LeastConnections,
            Self::Maglev => Scheduler::Maglev,
            Self::SourceHash => Scheduler::SourceHash,
            Self::Random => Scheduler::Random,
        }
    }
}
