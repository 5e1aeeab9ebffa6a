//! What the maps hold that are replaced.

use std::ops::AddAssign;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, Map, MapData},
};
use lb_common::{
    backend::Backend,
    snat::Source,
    stats::{Count, TcpStats, Traffic},
};

use super::pinned;
use crate::{
    BACKENDS, FLOWS, INCIDENTS_SEEN, PAST_INCIDENTS, PAST_VERDICTS, SERVICES, SNAT_SOURCES,
    TRAFFIC, VERDICTS,
    active::{ACTIVE, Active},
    maps::Table as _,
    object::{map, map_mut},
    per_cpu::PerCpu,
    pins::Pins,
    services::{SERVICE_INDEX, ServiceTable},
    sizes::{HEARD, KEPT_TRAFFIC, PAST_TRAFFIC, REFUSALS, RING_TURNS, SNAT_TURNS, TCP_STATS},
    traffic::BATCH,
};

/// Copies what the former maps hold. Connections move later, and counters once the former program does
/// not count any more. Those that a start writes as a whole, and momentary ones, are left empty.
pub(super) fn copy(pins: &Pins, ebpf: &mut Ebpf) -> Result<()> {
    copy_services(pins, ebpf)?;
    copy_array::<Backend>(pins, ebpf, BACKENDS)?;
    copy_array::<u32>(pins, ebpf, HEARD)?;
    copy_array::<u64>(pins, ebpf, REFUSALS)?;
    copy_array::<u64>(pins, ebpf, RING_TURNS)?;
    copy_array::<Traffic>(pins, ebpf, KEPT_TRAFFIC)?;
    copy_array::<TcpStats>(pins, ebpf, TCP_STATS)?;
    copy_array::<u64>(pins, ebpf, SNAT_TURNS)?;
    if pins.former(FLOWS).exists() {
        return leave_ports(pins, ebpf);
    }
    copy_active(pins, ebpf)
}

/// Copies the numbers of connections, whose places are others if the number of backends is.
fn copy_active(pins: &Pins, ebpf: &Ebpf) -> Result<()> {
    let Some(Map::Array(former)) = pinned(&pins.former(ACTIVE))? else { return Ok(()) };
    Active::open(ebpf)?.set(&Active::of_array(&former)?.counts());
    Ok(())
}

fn copy_services(pins: &Pins, ebpf: &Ebpf) -> Result<()> {
    let (index, records) = (pins.former(SERVICE_INDEX), pins.former(SERVICES));
    if !index.exists() || !records.exists() {
        return Ok(());
    }
    let former = ServiceTable::of_maps(&MapData::from_pin(index)?, &MapData::from_pin(records)?)?;
    let mut table = ServiceTable::open(ebpf)?;
    for (key, service) in former.entries()? {
        table.insert(&key, &service).context("cannot copy a service")?;
    }
    Ok(())
}

/// Copies an array if it is replaced, as far as both have values.
fn copy_array<V: Pod + Default + PartialEq>(
    pins: &Pins,
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<()> {
    let Some(former) = pinned(&pins.former(name))? else { return Ok(()) };
    let former: Array<_, V> = former.try_into()?;
    let mut array: Array<_, V> = map_mut(ebpf, name)?.try_into()?;
    let cannot = || format!("cannot copy {name}");
    for place in 0..former.len().min(array.len()) {
        let value = former.get(&place, 0).with_context(cannot)?;
        if value != V::default() {
            array.set(place, value, 0).with_context(cannot)?;
        }
    }
    Ok(())
}

/// Lets the new program begin half a rotation of ports away from the former one, if they do not take turns
/// together: each would draw ports of connections that it does not know.
fn leave_ports(pins: &Pins, ebpf: &mut Ebpf) -> Result<()> {
    if !pins.former(SNAT_TURNS).exists() {
        return Ok(());
    }
    let ahead = half_rotations(ebpf)?;
    let mut turns: Array<_, u64> = map_mut(ebpf, SNAT_TURNS)?.try_into()?;
    for (id, ahead) in ahead {
        let turn = turns.get(&id, 0)?;
        turns.set(id, turn.wrapping_add(ahead), 0).context("cannot write a backend's turns")?;
    }
    Ok(())
}

/// Returns half of the number of pairs of source address and port of each backend that has any, by id.
fn half_rotations(ebpf: &Ebpf) -> Result<Vec<(u32, u64)>> {
    let backends: Array<_, Backend> = map(ebpf, BACKENDS)?.try_into()?;
    let sources: Array<_, Source> = map(ebpf, SNAT_SOURCES)?.try_into()?;
    let mut halves = Vec::new();
    for id in 0..backends.len() {
        let backend = backends.get(&id, 0).context("cannot read a backend")?;
        if backend.source_count == 0 {
            continue;
        }
        let source = sources.get(&backend.sources, 0).context("cannot read a source")?;
        halves.push((id, u64::from(backend.source_count) * u64::from(source.ports) / 2));
    }
    Ok(halves)
}

/// Keeps what the former program has counted as counts of the past.
pub(super) fn keep_counts(pins: &Pins) -> Result<()> {
    keep::<Traffic>(pins, TRAFFIC, PAST_TRAFFIC)?;
    keep::<Count>(pins, VERDICTS, PAST_VERDICTS)?;
    keep::<u64>(pins, INCIDENTS_SEEN, PAST_INCIDENTS)
}

/// Keeps counters, if they are replaced, as far as both maps have them.
fn keep<V: Pod + bytemuck::Pod + Default + PartialEq + AddAssign>(
    pins: &Pins,
    counts: &str,
    past: &str,
) -> Result<()> {
    let former = pins.former(counts);
    if !former.exists() {
        return Ok(());
    }
    let data = MapData::from_pin(former)?;
    let size = data.info()?.max_entries();
    let counted = PerCpu::of_map(&Map::PerCpuArray(data))?;
    let former_past = pinned(&pins.former(past))?;
    let former_past: Option<Array<_, V>> = former_past.map(TryInto::try_into).transpose()?;
    let kept = pinned(&pins.map(past))?.with_context(|| format!("{past} is not pinned"))?;
    let mut kept: Array<_, V> = kept.try_into()?;
    let size = size.min(kept.len());
    for first in (0..size).step_by(BATCH as usize) {
        let places = first..size.min(first + BATCH);
        let sums: Vec<V> = counted.of(places.clone()).context("cannot read counters")?;
        for (place, mut sum) in places.zip(sums) {
            if let Some(past) = &former_past {
                sum += past.get(&place, 0).context("cannot read a count of the past")?;
            }
            if sum != V::default() {
                kept.set(place, sum, 0).context("cannot write a count of the past")?;
            }
        }
    }
    Ok(())
}
