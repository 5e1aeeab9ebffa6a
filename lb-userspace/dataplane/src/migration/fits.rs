//! Ids that must stay as they are, as connections refer to backends by theirs.

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, MapData};
use lb_common::{backend::Backend, limits};

use super::{pinned, replaced::Replaced};
use crate::{
    BACKENDS, SERVICES,
    active::possible_cpus,
    maps::Table as _,
    pins::Pins,
    services::{SERVICE_INDEX, ServiceTable},
    sizes::{RING_TURNS, limit_of},
};

/// Returns an error if an id is too high for a limit.
pub(super) fn check(pins: &Pins, replaced: &[Replaced]) -> Result<()> {
    for Replaced { name, expected, .. } in replaced {
        let (key, needed) = match name.as_str() {
            BACKENDS => ("limits.backends", backends(pins)?),
            RING_TURNS => ("limits.services", services(pins)?),
            _ => continue,
        };
        let limit = limit_of(name, *expected, possible_cpus()?);
        ensure!(
            limit >= needed,
            "`{key}` = {limit} is too low for the ids in use, by which connections refer to backends: \
             set it to {needed} or more, or run `xdplb detach` first, which ends all connections"
        );
    }
    Ok(())
}

/// Returns the least limit of backends that has room for those there are.
fn backends(pins: &Pins) -> Result<u32> {
    let last = all_backends(pins)?.into_iter().map(|(id, _)| id).max();
    Ok(last.map_or(0, |last| last + 1 - limits::FIRST_BACKEND))
}

/// Returns the least limit of services that has room for those there are, and those that removed backends
/// belonged to.
fn services(pins: &Pins) -> Result<u32> {
    let open = |name| MapData::from_pin(pins.map(name)).context("cannot open the pinned services");
    let table = ServiceTable::of_maps(&open(SERVICE_INDEX)?, &open(SERVICES)?)?;
    let present = table.entries()?.into_iter().map(|(_, service)| service.id);
    let named = all_backends(pins)?.into_iter().map(|(_, backend)| backend.service);
    Ok(present.chain(named).max().map_or(0, |last| last + 1))
}

fn all_backends(pins: &Pins) -> Result<Vec<(u32, Backend)>> {
    let map = pinned(&pins.map(BACKENDS))?.context("the backends are not pinned")?;
    let backends: Array<_, Backend> = map.try_into()?;
    let mut found = Vec::new();
    for id in limits::FIRST_BACKEND..backends.len() {
        let backend = backends.get(&id, 0).context("cannot read the pinned backends")?;
        if backend != Backend::default() {
            found.push((id, backend));
        }
    }
    Ok(found)
}
