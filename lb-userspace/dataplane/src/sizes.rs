//! Sizes of maps that an operator can set.

use std::fmt;

use lb_common::{
    limits,
    service_table::{OTHER_RECORDS, RECORDS_EACH},
    table::connections_of,
};
use lb_model::Limits;

use super::{
    BACKENDS, FLOWS, SERVICES, TRAFFIC,
    active::{ACTIVE, lanes},
    flows::ACCOUNTS,
    origins::ORIGINS,
    services::SERVICE_INDEX,
    shapes::Shape,
};

/// Time of the last packet of each backend after it had left its ring, by backend id.
pub(super) const HEARD: &str = "HEARD";
/// Traffic of each service's removed backends, by service id.
pub(super) const KEPT_TRAFFIC: &str = "KEPT_TRAFFIC";
/// Traffic of backends under released ids that they had before, by backend id.
pub(super) const PAST_TRAFFIC: &str = "PAST_TRAFFIC";
/// Number of handshakes that each backend has refused in a row, by backend id.
pub(super) const REFUSALS: &str = "REFUSALS";
/// Number of connections that each service has had, by service id.
pub(super) const RING_TURNS: &str = "RING_TURNS";
/// Number of connections that each service has had on each CPU, by service id.
const RING_TURNS_EACH: &str = "RING_TURNS_EACH";
/// Number of source ports drawn for each backend, by backend id.
pub(super) const SNAT_TURNS: &str = "SNAT_TURNS";
/// How well connections to each backend go, by backend id.
pub(super) const TCP_STATS: &str = "TCP_STATS";
/// Source ports that each CPU draws next for each backend, by backend id.
const SNAT_STRETCHES: &str = "SNAT_STRETCHES";

/// Maps that grow with a limit, by the limit's key.
const GROWING: [(&str, &[&str]); 2] = [
    ("limits.services", &[SERVICES, SERVICE_INDEX, RING_TURNS, RING_TURNS_EACH, KEPT_TRAFFIC]),
    ("limits.backends", &OF_BACKENDS),
];

const OF_BACKENDS: [&str; 9] = [
    ACTIVE,
    BACKENDS,
    HEARD,
    PAST_TRAFFIC,
    REFUSALS,
    SNAT_STRETCHES,
    SNAT_TURNS,
    TCP_STATS,
    TRAFFIC,
];

/// Returns the names and sizes of maps, for a machine that may have this many CPUs.
pub(super) fn sizes(limits: &Limits, cpus: u32) -> impl Iterator<Item = (&'static str, u32)> {
    let each = GROWING.iter().zip([limits.services, limits.backends]);
    each.flat_map(move |((_, maps), limit)| {
        maps.iter()
            .map(move |map| (*map, limit * entries_each(map, cpus) + other_entries(map, cpus)))
    })
}

/// Number of entries for each of what the limit counts.
fn entries_each(map: &str, cpus: u32) -> u32 {
    match map {
        SERVICES => RECORDS_EACH,
        ACTIVE => lanes(cpus),
        _ => 1,
    }
}

/// Number of entries in addition.
fn other_entries(map: &str, cpus: u32) -> u32 {
    match map {
        SERVICES => OTHER_RECORDS,
        SERVICE_INDEX | RING_TURNS | RING_TURNS_EACH | KEPT_TRAFFIC => 0,
        _ => limits::FIRST_BACKEND * entries_each(map, cpus),
    }
}

/// Returns true if the size of a map depends on limits.
pub(super) fn follows_limits(map: &str) -> bool {
    map == FLOWS || map == ACCOUNTS || map == ORIGINS || key_of(map).is_some()
}

/// Returns the limit that a map grows with, if it is one.
fn key_of(map: &str) -> Option<&'static str> {
    GROWING.iter().find(|(_, maps)| maps.contains(&map)).map(|(key, _)| *key)
}

/// A limit that is not what it was when the pinned maps were made.
#[derive(Clone, Copy, Debug)]
pub(super) enum LimitChange {
    /// `limits.flows`. Several limits make the same table, so the one that was set is not known, but only
    /// the `least` and the `most` that it may have been.
    Flows {
        least: u32,
        most: u32,
    },
    Entries {
        key: &'static str,
        from: u32,
        to: u32,
    },
}

impl LimitChange {
    /// Returns the change that makes a map's size another one, if it is of one limit.
    pub(super) fn behind(map: &str, found: Shape, expected: Shape, cpus: u32) -> Option<Self> {
        if map == FLOWS {
            // The last one is not a bucket, but the label.
            return Some(Self::of_table(found.max_entries.saturating_sub(1)));
        }
        let key = key_of(map)?;
        let [from, to] = [found, expected].map(|shape| limit_of(map, shape, cpus));
        Some(Self::Entries { key, from, to })
    }

    /// Returns the change from a table of so many buckets.
    fn of_table(buckets: u32) -> Self {
        let least = connections_of(buckets.saturating_sub(1)) + 1;
        Self::Flows { least, most: connections_of(buckets) }
    }

    /// Returns what the operator does to keep the pinned maps.
    pub(super) fn way_back(self) -> String {
        match self {
            Self::Flows { least, most } => format!(
                "set it back to what it was (all values from {least} to {most} make the same table)"
            ),
            Self::Entries { from, .. } => format!("set it back to {from}"),
        }
    }
}

impl fmt::Display for LimitChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flows { .. } => f.write_str("`limits.flows` has changed"),
            Self::Entries { key, from, to } => write!(f, "`{key}` has changed from {from} to {to}"),
        }
    }
}

/// Returns the limit that a map of this shape was made for.
pub(super) fn limit_of(map: &str, shape: Shape, cpus: u32) -> u32 {
    shape.max_entries.saturating_sub(other_entries(map, cpus)) / entries_each(map, cpus)
}

/// Returns the size in bytes of the maps that grow with these limits, except the flow table.
#[must_use]
pub fn map_bytes(limits: &Limits, cpus: u64) -> u64 {
    use std::mem::size_of;

    use lb_common::{
        backend::Backend,
        service_table::{IndexBucket, Record},
        snat::Stretch,
        stats::{TcpStats, Traffic},
    };

    let bytes = |size: usize| size as u64;
    let records = bytes(size_of::<Record>()) * u64::from(RECORDS_EACH);
    let turns = bytes(size_of::<u64>()) * (1 + cpus);
    let kept = bytes(size_of::<Traffic>());
    let service = records + bytes(size_of::<IndexBucket>()) + turns + kept;
    // An element of an array takes eight bytes at least.
    let words = bytes(3 * size_of::<u64>());
    let active = bytes(size_of::<i64>()) * (2 + cpus);
    let traffic = bytes(size_of::<Traffic>()) * (1 + cpus);
    let stretches = bytes(size_of::<Stretch>()) * cpus;
    let tcp = bytes(size_of::<TcpStats>());
    let backend = bytes(size_of::<Backend>()) + words + active + traffic + tcp + stretches;
    u64::from(limits.services) * service + u64::from(limits.backends) * backend
}

#[cfg(test)]
mod tests {
    use aya_obj::{Object, generated::bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY};
    use lb_common::table::buckets_for;

    use super::*;
    use crate::{flows::TablePlan, load::OBJECT};

    const CPUS: u32 = 3;

    #[test]
    fn the_bytes_are_those_of_the_objects_maps() {
        let object = Object::parse(OBJECT).expect("ours");
        let bytes_of = |maps: &[&str]| -> u64 {
            let each = maps.iter().map(|name| {
                let map = &object.maps[*name];
                let is_of_each_cpu = map.map_type() == BPF_MAP_TYPE_PERCPU_ARRAY as u32;
                let copies = if is_of_each_cpu { u64::from(CPUS) } else { 1 };
                u64::from(map.value_size().next_multiple_of(8) * entries_each(name, CPUS)) * copies
            });
            each.sum()
        };
        let [(_, services), (_, backends)] = GROWING;
        for (services_limit, backends_limit) in [(1, 0), (0, 1), (3, 5)] {
            let limits =
                Limits { services: services_limit, backends: backends_limit, ..Limits::default() };
            let expected = bytes_of(services) * u64::from(services_limit)
                + bytes_of(backends) * u64::from(backends_limit);
            assert_eq!(map_bytes(&limits, CPUS.into()), expected);
        }
    }

    #[test]
    fn a_map_of_another_size_is_told_as_the_limit_that_it_was_made_for() {
        let shape = |max_entries| Shape { map_type: 2, key_size: 4, value_size: 64, max_entries };
        let [made, wanted] = [(100, 1_000), (200, 1_000)].map(|(services, backends)| {
            let limits = Limits { services, backends, ..Limits::default() };
            sizes(&limits, CPUS).collect::<Vec<_>>()
        });
        for ((map, made), (_, wanted)) in made.into_iter().zip(wanted) {
            let change = LimitChange::behind(map, shape(made), shape(wanted), CPUS);
            let expected = if made == wanted {
                "`limits.backends` has changed from 1000 to 1000"
            } else {
                "`limits.services` has changed from 100 to 200"
            };
            assert_eq!(change.expect("it grows").to_string(), expected, "{map}");
        }
    }

    #[test]
    fn the_limits_that_are_named_are_all_that_make_the_table() {
        for flows in [1, 5, 6, 100, 33_333, 45_000, 100_000, 1_000_000, 15_999_999, 16_000_000] {
            let buckets = buckets_for(flows);
            let LimitChange::Flows { least, most } = LimitChange::of_table(buckets) else {
                panic!()
            };
            assert!((least..=most).contains(&flows), "{flows}: {least} to {most}");
            assert!((least..=most).all(|limit| buckets_for(limit) == buckets), "{flows}");
            assert_ne!(buckets_for(least - 1), buckets, "{flows}");
            assert_ne!(buckets_for(most + 1), buckets, "{flows}");
        }
    }

    #[test]
    fn the_way_back_from_another_flow_table_has_the_limit_that_was_set() {
        let [found, expected] = [45_000, 33_333].map(|flows| Shape {
            map_type: 2,
            key_size: 4,
            value_size: 512,
            max_entries: TablePlan::new(flows).expect("planned").max_entries(),
        });
        let change = LimitChange::behind(FLOWS, found, expected, CPUS).expect("it grows");
        assert_eq!(change.to_string(), "`limits.flows` has changed");
        let way_back =
            "set it back to what it was (all values from 44998 to 45002 make the same table)";
        assert_eq!(change.way_back(), way_back);
    }
}
