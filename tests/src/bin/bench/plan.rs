//! Extent of the measurements.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Result, ensure};

use crate::{control, flood, generator::Pace, live, packets, peers};

/// Set when the user has asked to stop.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Extent of each part.
pub struct Plan {
    pub packets: packets::Extent,
    pub live: live::Extent,
    pub peers: peers::Extent,
    pub flood: flood::Extent,
    pub control: control::Extent,
}

impl Plan {
    pub const FULL: Self = Self {
        packets: packets::Extent { rounds: 20, frames: 1 << 18, flows: &[0, 10, 17, 20, 23] },
        live: live::Extent { rounds: 20, duration: Duration::from_millis(200) },
        peers: peers::Extent {
            cpu_rounds: 7,
            cpu_duration: Duration::from_secs(1),
            throughput_rounds: 3,
            throughput_duration: Duration::from_secs(2),
            patience: Duration::from_secs(45),
        },
        flood: flood::Extent {
            rounds: 1,
            paces: &[
                Pace::PerSecond(10_000),
                Pace::PerSecond(100_000),
                Pace::PerSecond(200_000),
                Pace::FullTilt,
            ],
            lead: Duration::from_secs(2),
            duration: Duration::from_secs(4),
        },
        control: control::Extent { services: 1_000, rounds: 100, checks: 10_000 },
    };
    pub const QUICK: Self = Self {
        packets: packets::Extent { rounds: 10, frames: 1 << 17, flows: &[0, 10, 17] },
        live: live::Extent { rounds: 5, duration: Duration::from_millis(100) },
        peers: peers::Extent {
            cpu_rounds: 1,
            cpu_duration: Duration::from_millis(500),
            throughput_rounds: 1,
            throughput_duration: Duration::from_secs(1),
            patience: Duration::from_secs(3),
        },
        flood: flood::Extent {
            rounds: 1,
            paces: &[Pace::FullTilt],
            lead: Duration::from_secs(1),
            duration: Duration::from_secs(1),
        },
        control: control::Extent { services: 100, rounds: 10, checks: 1_000 },
    };

    /// Fails once the user has asked to stop.
    pub fn check() -> Result<()> {
        ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}
