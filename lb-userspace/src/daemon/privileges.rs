//! What the daemon may do, checked before it does anything.

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

/// Keeps the capabilities that the service manager has given from the programs of checks. Each
/// thread has its own set: call this before there are any others.
pub fn keep_from_programs() -> Result<()> {
    caps::clear(None, CapSet::Ambient).context("cannot clear the ambient capabilities")
}
