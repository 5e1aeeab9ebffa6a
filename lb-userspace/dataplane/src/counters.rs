//! Counters of the program, summed over CPUs.

use std::{borrow::Borrow, ops::AddAssign};

use anyhow::{Context as _, Result};
use aya::{
    Pod,
    maps::{MapData, PerCpuArray},
};
use lb_common::{
    reason::Reason,
    stats::{Count, Incident},
};

use super::{Dataplane, INCIDENTS_SEEN, VERDICTS};

/// Frames by reason.
pub type Verdicts = Vec<(Reason, Count)>;

/// Number of incidents by type.
pub type Incidents = Vec<(Incident, u64)>;

impl Dataplane {
    pub fn verdicts(&self) -> Result<Verdicts> {
        let counts: PerCpuArray<_, Count> = self.map(VERDICTS)?.try_into()?;
        Reason::ALL.iter().map(|reason| Ok((*reason, total(&counts, *reason as u32)?))).collect()
    }

    pub fn incidents(&self) -> Result<Incidents> {
        let seen: PerCpuArray<_, u64> = self.map(INCIDENTS_SEEN)?.try_into()?;
        let read = |incident: &Incident| Ok((*incident, total(&seen, *incident as u32)?));
        Incident::ALL.iter().map(read).collect()
    }
}

/// Returns the sum of a counter over all CPUs.
pub(super) fn total<V: Pod + Default + AddAssign>(
    map: &PerCpuArray<impl Borrow<MapData>, V>,
    index: u32,
) -> Result<V> {
    let values = map.get(&index, 0).with_context(|| format!("cannot read counter {index}"))?;
    let mut sum = V::default();
    for value in values.iter() {
        sum += *value;
    }
    Ok(sum)
}
