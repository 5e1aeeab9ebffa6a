//! What the daemon may do, checked before it does anything.

use anyhow::{Result, bail};
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
