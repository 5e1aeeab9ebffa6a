//! Settings for backends that go down and come back.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Percent;

/// Settings for backends that go down and come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failover {
    /// Minimum number of backends that take connections: below it, backups are added one by one.
    pub min_active: u32,
    /// Minimum weight of the backends that take connections, as a share of the weight of all
    /// backends that are not backups: below it, backups are added one by one.
    pub min_capacity: Percent,
    /// If less than this share of backends is up, health checks are ignored and all backends are
    /// used.
    pub fail_open: Percent,
    pub failback: Failback,
    /// Time in which a backend that comes back gets to its full weight.
    #[serde(with = "humantime_serde")]
    pub slow_start: Duration,
    pub on_down: OnDown,
    pub on_refused: OnRefused,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            min_active: 1,
            min_capacity: Percent::default(),
            fail_open: Percent::default(),
            failback: Failback::default(),
            slow_start: Duration::ZERO,
            on_down: OnDown::default(),
            on_refused: OnRefused::default(),
        }
    }
}

/// Return of a backend that was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Failback {
    /// As soon as it is up again.
    #[default]
    Auto,
    /// By `xdplb backend enable` if backups have taken its place, or when no other backend is left.
    Manual,
}

/// Handling of the connections of a backend that goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDown {
    /// They continue, as the check may be wrong.
    #[default]
    Keep,
    /// The client's next packet is answered with a reset, so that it reconnects.
    Reset,
}

/// Handling of a new connection that its backend refuses with a reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRefused {
    /// If another backend takes connections, the reset is dropped, and the client's next SYN, a
    /// second later, goes to another backend; the third reset is passed on.
    #[default]
    Retry,
    /// The reset is passed on to the client.
    Pass,
}
