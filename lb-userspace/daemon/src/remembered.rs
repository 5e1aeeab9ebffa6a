//! Stored state of backends.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use jiff::Timestamp;
use lb_model::Health;

use super::clock::Span;

/// Stored state of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub health: Health,
    pub detail: String,
    pub since: Timestamp,
    pub held: bool,
    pub warming: Option<Span>,
    /// Configured end of a drain, and the time left until then.
    pub drain: Option<(Timestamp, Duration)>,
}

/// By VIP and address. Files of older versions use the service's name instead of the VIP.
pub type Memories = HashMap<String, HashMap<SocketAddr, Remembered>>;

impl Remembered {
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            health: Health::Unknown,
            detail: "not checked yet".to_owned(),
            since: Timestamp::now(),
            held: false,
            warming: None,
            drain: None,
        }
    }

    /// Returns the state of a backend that takes connections: up, whatever else is known.
    #[must_use]
    pub fn in_use(known: Option<Self>) -> Self {
        let detail = "in use before the daemon started".to_owned();
        known.filter(|known| known.health == Health::Up).unwrap_or_else(|| Self {
            health: Health::Up,
            detail,
            ..Self::nothing()
        })
    }
}
