//! What the program has counted, summed over CPUs.

use std::{borrow::Borrow, collections::BTreeMap, ops::AddAssign};

use anyhow::{Context as _, Result};
use aya::{
    Pod,
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use lb_common::{
    reason::Reason,
    stats::{Count, Incident, Traffic},
};

use super::{Dataplane, INCIDENTS_SEEN, TRAFFIC, VERDICTS};

/// Frames by reason.
pub type Verdicts = Vec<(Reason, Count)>;

/// How often each was seen.
pub type Incidents = Vec<(Incident, u64)>;

impl Dataplane {
    pub fn verdicts(&self) -> Result<Verdicts> {
        let counts: PerCpuArray<_, Count> = self.map(VERDICTS)?.try_into()?;
        Reason::ALL.iter().map(|reason| Ok((*reason, total(&counts, *reason as u32)?))).collect()
    }

    /// What has gone through these backends.
    pub fn traffic(&self, ids: impl Iterator<Item = u32>) -> Result<BTreeMap<u32, Traffic>> {
        let traffic: PerCpuArray<_, Traffic> = self.map(TRAFFIC)?.try_into()?;
        ids.map(|id| Ok((id, total(&traffic, id)?))).collect()
    }

    /// Has a backend's counters start over.
    pub(super) fn forget_traffic(&mut self, id: u32) -> Result<()> {
        let mut traffic: PerCpuArray<_, Traffic> = self.map_mut(TRAFFIC)?.try_into()?;
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        let nothing = PerCpuValues::try_from(vec![Traffic::default(); cpus])?;
        traffic.set(id, nothing, 0).context("cannot clear a counter")
    }

    pub fn incidents(&self) -> Result<Incidents> {
        let seen: PerCpuArray<_, u64> = self.map(INCIDENTS_SEEN)?.try_into()?;
        let read = |incident: &Incident| Ok((*incident, total(&seen, *incident as u32)?));
        Incident::ALL.iter().map(read).collect()
    }
}

fn total<V: Pod + Default + AddAssign>(
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
