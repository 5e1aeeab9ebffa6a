use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Order of a list of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Oldest first.
    Age,
    /// Longest without a packet first.
    Idle,
    /// Most bytes first: needs `limits.accounting`.
    Bytes,
}
