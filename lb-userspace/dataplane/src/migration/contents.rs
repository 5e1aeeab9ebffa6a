//! What the maps hold that are replaced.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, Map, MapData, PerCpuArray},
};
use lb_common::{backend::Backend, snat::Source, stats::Traffic};

use super::pinned;
use crate::{
    BACKENDS, FLOWS, SERVICES, SNAT_SOURCES, TRAFFIC,
    active::{ACTIVE, Active},
    counters::total,
    maps::{self, Table as _},
    object::{map, map_mut},
    pins::Pins,
    services::{SERVICE_INDEX, ServiceTable},
    sizes::{HEARD, PAST_TRAFFIC, REFUSALS, RING_TURNS, SNAT_TURNS},
};

/// Copies what the former maps hold. Connections move later, and traffic once the former program does
/// not count any more. Those that a start writes as a whole are left empty.
pub(super) fn copy(pins: &Pins, ebpf: &mut Ebpf) -> Result<()> {
    copy_services(pins, ebpf)?;
    copy_array::<Backend>(pins, ebpf, BACKENDS)?;
    copy_array::<u32>(pins, ebpf, HEARD)?;
    copy_array::<u64>(pins, ebpf, REFUSALS)?;
    copy_array::<u64>(pins, ebpf, RING_TURNS)?;
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

/// Keeps the traffic that the former program has counted as that of the past.
pub(super) fn keep_traffic(pins: &Pins, past: &mut dyn maps::Array<Traffic>) -> Result<()> {
    let former_past = pinned(&pins.former(PAST_TRAFFIC))?;
    let (Some(former_past), true) = (former_past, pins.former(TRAFFIC).exists()) else {
        return Ok(());
    };
    let former_past: Array<_, Traffic> = former_past.try_into()?;
    let counted = Map::PerCpuArray(MapData::from_pin(pins.former(TRAFFIC))?);
    let counted: PerCpuArray<_, Traffic> = counted.try_into()?;
    for id in 0..former_past.len().min(past.size()) {
        let mut sum = former_past.get(&id, 0).context("cannot read a backend's past counters")?;
        sum += total(&counted, id)?;
        if sum != Traffic::default() {
            past.set(id, &sum).context("cannot write a backend's past counters")?;
        }
    }
    Ok(())
}
