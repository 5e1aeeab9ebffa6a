//! Check of the daemon's privileges at start.

use anyhow::{Context as _, Result, bail};
use caps::{CapSet, Capability};

const NEEDED: [Capability; 3] =
    [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];

pub fn check() -> Result<()> {
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|needed| !caps::has_cap(None, CapSet::Effective, **needed).unwrap_or(false))
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("xdplb lacks {}: run it as root, or by its systemd unit", missing.join(", "))
}

/// Clears the ambient capabilities from the service manager, so that programs of checks do not get
/// them. Each thread has its own set: call this before any other thread starts.
pub fn keep_from_programs() -> Result<()> {
    caps::clear(None, CapSet::Ambient).context("cannot clear the ambient capabilities")
}
