//! Counters of the program, summed over CPUs.

use std::{borrow::Borrow, ops::AddAssign};

use anyhow::{Context as _, Result};
use aya::{
    Pod,
    maps::{Array, MapData, PerCpuArray},
};
use lb_common::{
    reason::Reason,
    stats::{Count, Incident},
};

use super::{Dataplane, INCIDENTS_SEEN, PAST_INCIDENTS, PAST_VERDICTS, VERDICTS};

/// Frames by reason.
pub type Verdicts = Vec<(Reason, Count)>;

/// Number of incidents by type.
pub type Incidents = Vec<(Incident, u64)>;

impl Dataplane {
    pub fn verdicts(&self) -> Result<Verdicts> {
        let counts = self.counts::<Count>(VERDICTS, PAST_VERDICTS)?;
        Ok(Reason::ALL.iter().copied().zip(counts).collect())
    }

    pub fn incidents(&self) -> Result<Incidents> {
        let counts = self.counts::<u64>(INCIDENTS_SEEN, PAST_INCIDENTS)?;
        Ok(Incident::ALL.iter().copied().zip(counts).collect())
    }

    /// Returns counters, with what earlier programs have counted in other maps.
    fn counts<V: Pod + Default + AddAssign>(&self, counts: &str, past: &str) -> Result<Vec<V>> {
        let counts: PerCpuArray<_, V> = self.map(counts)?.try_into()?;
        let past: Array<_, V> = self.map(past)?.try_into()?;
        let sum = |place| {
            let mut sum = total(&counts, place)?;
            sum += past.get(&place, 0).context("cannot read a count of the past")?;
            Ok(sum)
        };
        (0..counts.len()).map(sum).collect()
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
