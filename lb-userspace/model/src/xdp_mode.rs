//! Modes of the XDP program.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// XDP mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// Native mode, or generic mode with a warning if the driver does not support native mode.
    /// Native mode is tried again at start, at a reload, and when the link comes up or its MTU
    /// changes.
    #[default]
    Auto,
    /// Native mode, in the driver.
    Native,
    /// Generic mode, in the kernel after the driver, for drivers without native mode.
    Generic,
}
