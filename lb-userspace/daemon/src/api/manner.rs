//! Query parameters of changes.

use schemars::JsonSchema;
use serde::Deserialize;

/// Query parameters of a change.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Manner {
    /// Take VIPs that servers on this host listen on. Only for root.
    #[serde(default)]
    pub(super) force: bool,
    /// Return what the change would do, and change nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// Query parameters of a change that sets no VIP.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    /// Return what the change would do, and change nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
}
