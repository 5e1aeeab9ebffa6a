//! Backends, their administrative state and health.

use std::{fmt, net::SocketAddr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Administrative state of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    #[default]
    Enabled,
    /// No new connections; existing ones continue; still checked.
    Draining,
    /// No new connections; existing ones continue; not checked.
    Disabled,
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        })
    }
}

/// Health of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No check has finished yet.
    #[default]
    Unknown,
    Up,
    Down,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    pub address: SocketAddr,
    /// Share of new connections; with 0, none, but existing ones continue.
    pub weight: u16,
    /// True if used only when too few other backends are available.
    pub backup: bool,
    pub admin: Admin,
    /// End of draining. From then on the next packet of either side of a remaining connection is
    /// answered by a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_until: Option<Timestamp>,
}

impl Backend {
    /// Returns true if its administrative state and weight allow new connections.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.admin == Admin::Enabled && self.weight > 0
    }
}
