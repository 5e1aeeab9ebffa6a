//! Origins of settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Origin of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Set in the configuration file, for the service or in `[defaults]`.
    File,
    /// Set by a command or a request.
    Command,
    Default,
}
