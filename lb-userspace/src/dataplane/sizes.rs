//! Sizes of maps that an operator can set.

use lb_common::limits;

use super::{BACKENDS, SERVICES, TRAFFIC, pins::Shape};
use crate::config::Limits;

/// Connections of each backend that are not closed, by backend id.
const ACTIVE: &str = "ACTIVE";
/// Time of the last packet of each backend after it had left its ring, by backend id.
const HEARD: &str = "HEARD";
/// Number of handshakes that each backend has refused in a row, by backend id.
const REFUSALS: &str = "REFUSALS";
/// Number of connections that each service has had, by service id.
const RING_TURNS: &str = "RING_TURNS";
/// Number of source ports allocated for each backend, by backend id.
const SNAT_TURNS: &str = "SNAT_TURNS";

/// Maps that grow with a limit, by the limit's key.
const GROWING: [(&str, &[&str]); 2] = [
    ("limits.services", &[SERVICES, RING_TURNS]),
    ("limits.backends", &[ACTIVE, BACKENDS, HEARD, REFUSALS, SNAT_TURNS, TRAFFIC]),
];

/// Returns the names and sizes of maps.
pub(super) fn sizes(limits: &Limits) -> impl Iterator<Item = (&'static str, u32)> {
    let entries = [limits.services, limits.backends + limits::FIRST_BACKEND];
    let each = GROWING.iter().zip(entries);
    each.flat_map(|((_, maps), entries)| {
        maps.iter().map(move |map| (*map, entries * entries_each(map)))
    })
}

/// Number of entries for each of what the limit counts. A service that moves has two for a moment: the new
/// one is written before the old one is removed.
fn entries_each(map: &str) -> u32 {
    if map == SERVICES { 2 } else { 1 }
}

/// Returns the fix of a pinned map that differs only in size.
pub(super) fn fix(map: &str, found: Shape, expected: Shape) -> Option<String> {
    if (Shape { max_entries: expected.max_entries, ..found }) != expected {
        return None;
    }
    let (key, maps) = GROWING.iter().find(|(_, maps)| maps.contains(&map))?;
    let first = if maps.contains(&BACKENDS) { limits::FIRST_BACKEND } else { 0 };
    let limit = |shape: Shape| (shape.max_entries - first) / entries_each(map);
    let (found, expected) = (limit(found), limit(expected));
    Some(format!(
        "the running maps have room for `{key}` = {found}, and the configuration asks for \
         {expected}: set it back to {found} to keep forwarding, or run `xdplb detach` first, \
         which ends all connections"
    ))
}

/// Returns the size in bytes of the maps that grow with these limits, except the flow table.
#[must_use]
pub fn map_bytes(limits: &Limits, cpus: u64) -> u64 {
    use std::mem::size_of;

    use lb_common::{
        backend::Backend,
        service::{Service, ServiceKey},
        stats::Traffic,
    };

    /// Overhead of an element of a hash in the kernel.
    const ELEMENT: u64 = 64;
    let bytes = |size: usize| size as u64;
    let entry = bytes(size_of::<ServiceKey>() + size_of::<Service>()) + ELEMENT;
    let service = entry * u64::from(entries_each(SERVICES)) + bytes(size_of::<u64>());
    let backend =
        bytes(size_of::<Backend>() + 2 * size_of::<u64>()) + bytes(size_of::<Traffic>()) * cpus;
    u64::from(limits.services) * service + u64::from(limits.backends) * backend
}
