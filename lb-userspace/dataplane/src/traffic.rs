//! The program's counters of backends.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use anyhow::{Context as _, Result};
use lb_common::stats::Traffic;

/// Returns the traffic of these backends, with that of released ids that they had before. `counted` reads
/// a range of ids at once.
pub(crate) fn read(
    counted: impl Fn(Range<u32>) -> Result<Vec<Traffic>>,
    past: impl Fn(u32) -> Result<Traffic>,
    ids: impl IntoIterator<Item = u32>,
) -> Result<BTreeMap<u32, Traffic>> {
    let ids: BTreeSet<u32> = ids.into_iter().collect();
    let mut traffic = BTreeMap::new();
    for range in ranges(&ids) {
        let read = counted(range.clone());
        let all = read.with_context(|| format!("cannot read the counters of {range:?}"))?;
        traffic.extend(range.zip(all).filter(|(id, _)| ids.contains(id)));
    }
    for (id, traffic) in &mut traffic {
        let past = past(*id);
        *traffic += past.with_context(|| format!("cannot read the past counters of {id}"))?;
    }
    Ok(traffic)
}

/// Maximum number of counters read at once.
pub(crate) const BATCH: u32 = 512;

/// Maximum gap between ids that are read at once.
const GAP: u32 = 32;

/// Returns a few ranges that contain all of these ids.
fn ranges(ids: &BTreeSet<u32>) -> Vec<Range<u32>> {
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for id in ids {
        match ranges.last_mut() {
            Some(last) if *id < last.end + GAP && *id < last.start + BATCH => last.end = id + 1,
            _ => ranges.push(*id..id + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::memory::Memory;

    #[test]
    fn counters_of_many_backends_are_read_by_few_calls() {
        let memory = Memory::default();
        let counted = |connections| Traffic { connections, ..Traffic::default() };
        memory.stored().traffic.extend([(1, counted(1)), (4_000, counted(7))]);
        let maps = memory.maps(5_000);
        let read = |ids: Vec<u32>| {
            read(|ids| maps.traffic.of(ids), |id| maps.past_traffic.get(id), ids).expect("read")
        };
        let traffic = read((1..4_001).collect());
        let calls = memory.fail(&[]);
        assert!(calls <= 8, "{calls} calls");
        assert_eq!(traffic.len(), 4_000);
        assert_eq!([traffic[&1], traffic[&2], traffic[&4_000]], [1, 0, 7].map(counted));
        let few = read(vec![4_000, 1]);
        assert_eq!(few.into_iter().collect::<Vec<_>>(), [(1, counted(1)), (4_000, counted(7))]);
    }

    #[test]
    fn ranges_hold_all_ids_and_are_no_longer_than_a_batch() {
        for ids in [vec![], vec![0], vec![3, 4, 30, 200], (0..=BATCH).collect::<Vec<_>>()] {
            let ids: BTreeSet<u32> = ids.into_iter().collect();
            let ranges = ranges(&ids);
            assert!(ids.iter().all(|id| ranges.iter().any(|range| range.contains(id))));
            assert!(ranges.iter().all(|range| range.end - range.start <= BATCH));
        }
        assert_eq!(ranges(&BTreeSet::from([3, 4, 30, 200])), [3..31, 200..201]);
    }
}
