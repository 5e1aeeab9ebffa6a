use std::time::Instant;

use lb_common::backend::Hop;
use proptest::prelude::*;

use super::*;
use crate::plan::{Goal, Op, Plan, plan};

const LIMITS: Limits = Limits { flows: 1, services: 8, backends: 8, resets: 1, accounting: false };

fn key(last: u8) -> ServiceKey {
    ServiceKey::tcp(mapped([203, 0, 113, last]), [0, 80])
}

fn source() -> Source {
    Source { address: mapped([10, 0, 0, 1]), first_port: 1_024, ports: 100 }
}

fn backend(service: u32, last: u8) -> Backend {
    Backend {
        hop: Hop::new([2; 6], [4; 6], 3),
        address: mapped([10, 0, 0, last]),
        port: [0, 80],
        vip: mapped([203, 0, 113, service.to_le_bytes()[0] + 1]),
        vip_port: [0, 80],
        weight: 1,
        service,
        sources: 0,
        source_count: 1,
        ..Backend::default()
    }
}

/// Two services with two backends each, and the slots of the arena.
fn good() -> (Found, Vec<u32>) {
    let service = |id, offset| Service {
        ring: Ring { offset, length: 2 },
        id,
        scheduler: 1,
        members: 2,
        retries: 1,
        group: 0,
    };
    let backends = [(1u32, 0, 11), (2, 0, 12), (3, 1, 13), (4, 1, 14)];
    let backends = backends.map(|(id, service, last)| (id, backend(service, last)));
    let found = Found {
        services: vec![(key(1), service(0, 0)), (key(2), service(1, 2))],
        backends: backends.into_iter().collect(),
        sources: vec![source(); 2],
    };
    (found, vec![1, 2, 3, 4])
}

fn adopt(found: &Found, slots: &[u32]) -> Adopted {
    judged(found, &LIMITS, |ring| {
        let places = (ring.offset..ring.offset + ring.length).map(|at| slots.get(at as usize));
        places.map(|slot| slot.copied().unwrap_or_default()).collect()
    })
}

#[test]
fn what_makes_sense_is_believed() {
    let (found, slots) = good();
    let adopted = adopt(&found, &slots);
    assert_eq!(adopted.faults, [""; 0]);
    assert_eq!(adopted.services, adopted.image.services);
    assert_eq!(adopted.backends, found.backends);
    assert_eq!(adopted.image.services[&key(2)].wanted.slots[..], [3, 4]);
    assert_eq!(adopted.image.sources.len(), 1);
}

/// A corruption, its error message, and the numbers of valid services, valid backends and backends
/// with a next hop.
type Case = (fn(&mut Found, &mut Vec<u32>), &'static str, [usize; 3]);

#[test]
fn what_makes_no_sense_is_told_and_not_believed() {
    let cases: [Case; 21] = [
        (|found, _| found.services[0].1.ring.offset = u32::MAX, "cannot be", [2, 4, 4]),
        (|found, _| found.services[0].1.ring.length = u32::MAX, "cannot be", [2, 4, 4]),
        (|found, _| found.services[0].1.ring.length = 1 << 20, "cannot be", [2, 4, 4]),
        (|found, _| found.services[0].1.ring.offset = 1, "1 slots of its ring name", [2, 4, 4]),
        (|found, _| found.services[0].1.ring.length = 3, "1 slots of its ring name", [2, 4, 4]),
        (|_, slots| slots[0] = 0, "1 slots of its ring name", [2, 4, 4]),
        (|_, slots| slots[0] = 7, "1 slots of its ring name", [2, 4, 4]),
        (|found, _| found.services[0].1.scheduler = 9, "no scheduler 9", [2, 4, 4]),
        (|found, _| found.services[0].1.id = 99, "its id is 99", [1, 4, 4]),
        (|found, _| found.services[1].1.id = 0, "its id is 0", [1, 4, 4]),
        (|found, _| found.services[0].0.protocol = 17, "no service can have", [1, 4, 4]),
        (|found, _| found.backends[&1].port = [0; 2], "no server can have", [2, 3, 3]),
        (|found, _| found.backends[&1].address = [7; 16], "no server can have", [2, 3, 3]),
        (|found, _| found.backends[&1].vip = [7; 16], "no service can have", [2, 3, 3]),
        (|found, _| found.backends[&1].vip_port = [0; 2], "no service can have", [2, 3, 3]),
        (|found, _| found.backends[&1].vip = key(9).address, "1 slots of its ring", [2, 4, 4]),
        (|found, _| found.backends[&1].vip_port = [0, 81], "1 slots of its ring", [2, 4, 4]),
        (|found, _| found.backends[&1].service = 99, "of service 99", [2, 3, 3]),
        (|found, _| found.backends[&1].source_count = u32::MAX, "sources from 0 on", [2, 4, 3]),
        (|found, _| found.backends[&1].hop = Hop::new([1; 6], [2; 6], 3), "its hop", [2, 4, 3]),
        (|found, _| found.sources[0].ports = 0, "impossible address or range", [2, 4, 0]),
    ];
    for (spoil, word, expected) in cases {
        let (mut found, mut slots) = good();
        spoil(&mut found, &mut slots);
        let adopted = adopt(&found, &slots);
        let said = adopted.faults.join("\n");
        assert!(said.contains(word), "{word} is not in {said}");
        let ways = adopted.backends.values().filter(|one| one.hop.ifindex() != 0).count();
        assert_eq!([adopted.services.len(), adopted.backends.len(), ways], expected, "{said}");
        is_made_good(&adopted);
    }
}

/// Asserts that the maps found can be changed to the desired state of two services, with nothing of
/// the old contents left.
fn is_made_good(adopted: &Adopted) {
    let (good, slots) = good();
    let wanted = adopt(&good, &slots).image;
    let goal = Goal {
        services: wanted.services.iter().map(|(key, one)| (*key, one.wanted.clone())).collect(),
        backends: wanted.backends.clone(),
        sources: wanted.sources.clone(),
    };
    let mut arena = adopted.image.arena();
    let planned = plan(&adopted.image, &goal, &Goal::default(), &mut arena, Instant::now());
    let Plan { ops, image, .. } = planned.expect("there is room");
    for (key, found) in &adopted.image.services {
        let is_as_wanted = wanted.services.get(key).is_some_and(|one| one.wanted == found.wanted);
        let is_written = ops.iter().any(|op| match op {
            Op::SetService { key: written, .. } | Op::RemoveService { key: written } => {
                written == key
            }
            _ => false,
        });
        assert!(is_as_wanted || is_written, "{key:?} of {ops:?}");
    }
    assert_eq!((image.backends, image.services.len()), (wanted.backends, 2));
    let mut regions: Vec<_> = image.services.values().map(|one| one.ring).collect();
    regions.sort_by_key(|ring| ring.offset);
    assert!(regions.windows(2).all(|two| two[0].offset + two[0].length <= two[1].offset));
}

/// Small numbers and edge cases.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..10, Just(u32::MAX), Just(limits::RING_SLOTS), any::<u32>()]
}

fn some_backend() -> impl Strategy<Value = Backend> {
    let addresses = prop_oneof![Just(mapped([10, 0, 0, 9])), any::<[u8; 16]>()];
    let numbers = (number(), number(), number(), number());
    (addresses, any::<[u8; 2]>(), numbers).prop_map(|(address, port, numbers)| {
        let (service, sources, source_count, ifindex) = numbers;
        let hop = Hop::new([2; 6], [4; 6], ifindex);
        Backend {
            hop,
            address,
            port,
            vip: key(2).address,
            vip_port: [0, 80],
            weight: 1,
            service,
            sources,
            source_count,
            ..Backend::default()
        }
    })
}

fn some_service() -> impl Strategy<Value = (ServiceKey, Service)> {
    let keys = prop_oneof![
        (1u8..5).prop_map(key),
        any::<[u8; 16]>().prop_map(|address| {
            ServiceKey { protocol: 17, ..ServiceKey::tcp(address, [0, 80]) }
        })
    ];
    (keys, (number(), number(), number(), number())).prop_map(|(key, numbers)| {
        let (offset, length, id, scheduler) = numbers;
        (
            key,
            Service {
                ring: Ring { offset, length },
                id,
                scheduler,
                members: 1,
                retries: 0,
                group: 0,
            },
        )
    })
}

proptest! {
    #[test]
    fn whatever_the_maps_hold_they_are_made_good(
        services in prop::collection::vec(some_service(), 0..6),
        backends in prop::collection::btree_map(1u32..9, some_backend(), 0..6),
        slots in prop::collection::vec(0u32..9, 0..8),
        ports in number(),
    ) {
        let ports = u16::try_from(ports).unwrap_or(0);
        let sources = vec![Source { ports, ..source() }; 4];
        let found = Found { services, backends: backends.into_iter().collect(), sources };
        is_made_good(&adopt(&found, &slots));
    }
}
