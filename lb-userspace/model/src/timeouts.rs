//! Time-outs of connections.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Lifetime of an idle connection, by its TCP state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    #[serde(with = "humantime_serde")]
    pub half_open: Duration,
    #[serde(with = "humantime_serde")]
    pub established: Duration,
    #[serde(with = "humantime_serde")]
    pub closing: Duration,
    #[serde(with = "humantime_serde")]
    pub closed: Duration,
}

impl Default for Timeouts {
    /// `established` outlasts the two hours after which TCP keepalive sends its first probe
    /// (RFC 9293, section 3.8.4); `closed` is Linux's `TIME_WAIT`.
    fn default() -> Self {
        Self {
            half_open: Duration::from_secs(10),
            established: Duration::from_hours(3),
            closing: Duration::from_mins(2),
            closed: Duration::from_mins(1),
        }
    }
}
