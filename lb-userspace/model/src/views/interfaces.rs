//! Interfaces, and what is attached to them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceView {
    pub name: String,
    pub ifindex: u32,
    pub link: LinkState,
    pub mode: InterfaceMode,
    pub guard: GuardHook,
}

/// State of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    Up,
    /// Administratively down, or without carrier.
    Down,
    /// Removed or renamed.
    Gone,
}

/// Actual XDP mode on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceMode {
    Native,
    Generic,
    /// The program is not attached.
    Detached,
}

/// Attachment of the host guard, which keeps TCP packets of services from the host's own network
/// stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuardHook {
    /// TCX link, on Linux 6.6 or later.
    Tcx,
    /// Filter of a clsact qdisc.
    Clsact,
    Detached,
}
