//! Versions of the document, and what a change does to it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;

/// Result of a change or a dry run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Version of the current document, or of the one that the change has created.
    pub version: u64,
    pub steps: Vec<Step>,
    /// Reason why the running daemon cannot apply the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Effects of the change that interrupt a service, and VIPs that receive no packets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A version of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    pub version: u64,
    pub at: Timestamp,
    pub by: String,
    pub what: String,
}

/// A version in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FullVersion {
    #[serde(flatten)]
    pub view: VersionView,
    /// Changes from the previous version; absent if that is no longer stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Step>>,
    /// All services, as `[[service]]` tables of a configuration file.
    pub services: String,
}
