//! States, turns, clocks and names.

use std::collections::HashSet;

use lb_common::{
    flow::ticks,
    mapped,
    reason::Reason,
    ring::Ring,
    schedule::{Client, Scheduler, is_busier},
    snat::{TRIES, draw_of, drawn},
    stats::Incident,
    unmapped,
};
use proptest::prelude::*;

#[test]
fn reasons_have_names_of_their_own() {
    let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    for (index, reason) in (0..).zip(Reason::ALL) {
        assert_eq!(*reason as u32, index);
    }
    let names: HashSet<_> = Incident::ALL.iter().map(|incident| incident.as_str()).collect();
    assert_eq!(names.len(), Incident::ALL.len());
}

proptest! {
    #[test]
    fn every_source_and_port_rests_as_long_as_there_are_others(
        sources in 1_u32..5, ports in 1_u16..50, start in 0_u32..1_000_000,
    ) {
        let cycle = sources * u32::from(ports);
        let pairs: HashSet<_> = (start..start + cycle).map(|draw| drawn(draw, sources, ports)).collect();
        prop_assert_eq!(pairs.len(), cycle as usize);
        for (source, port) in pairs {
            prop_assert!(source < sources && port < ports);
        }
    }

    #[test]
    fn tries_meet_different_sources_and_ports(
        sources in 1_u32..5, ports in 1_u16..=u16::MAX, start in 0_u32..1_000_000,
    ) {
        let pairs = sources * u32::from(ports);
        let tries = TRIES.min(pairs);
        let tried: HashSet<_> =
            (0..tries).map(|attempt| drawn(draw_of(start, attempt, pairs), sources, ports)).collect();
        prop_assert_eq!(tried.len(), tries as usize);
    }

    #[test]
    fn turns_go_round_the_ring(offset in 0_u32..1_000, length in 1_u32..100, turn: u32) {
        let ring = Ring { offset, length };
        let slot = ring.slot(turn).expect("not empty");
        prop_assert_eq!(slot - offset, turn % length);
        prop_assert_eq!(Ring { offset, length: 0 }.slot(turn), None);
    }

    #[test]
    fn idle_times_survive_the_clocks_wrap(start: u32, elapsed in 0_u32..1 << 31) {
        let later = start.wrapping_add(elapsed);
        prop_assert_eq!(ticks::nanos_between(start, later), u64::from(elapsed) << 20);
        let earlier = start.wrapping_sub(elapsed.max(1));
        prop_assert_eq!(ticks::nanos_between(start, earlier), 0);
    }

    #[test]
    fn mapped_addresses_are_those_of_the_standard_library(address: [u8; 4]) {
        let expected = std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets();
        prop_assert_eq!(mapped(address), expected);
        prop_assert_eq!(unmapped(expected), address);
    }
}

#[test]
fn schedulers_keep_their_numbers() {
    for (number, scheduler) in (0..).zip([
        Scheduler::RoundRobin,
        Scheduler::LeastConnections,
        Scheduler::Maglev,
        Scheduler::SourceHash,
        Scheduler::Random,
        Scheduler::RoundRobinPerCpu,
    ]) {
        assert_eq!(scheduler.number(), number);
        assert_eq!(Scheduler::from_number(number), scheduler);
    }
    assert_eq!(Scheduler::from_number(6), Scheduler::RoundRobin);
}

/// Other balancers must compute the same hashes: a change of these numbers breaks the contract.
#[test]
fn a_clients_hash_is_the_same_everywhere() {
    let client = |port: u16| Client::new([198, 51, 100, 7], port.to_be_bytes());
    assert_eq!(client(40_000).hash(), 2_359_083_487);
    assert_eq!(client(40_000).without_port().hash(), 4_242_153_548);
    assert_eq!(client(40_000).without_port(), client(40_001).without_port());
}

#[test]
fn clients_in_a_row_fall_as_random_ones_do() {
    const BINS: u32 = 1_024;
    const CLIENTS: u32 = 64 * BINS;
    let ring = Ring { offset: 0, length: BINS };
    let by_address = |n: u32| Client::new((0x0a00_0000 + n).to_be_bytes(), [0; 2]);
    let by_port = |n: u32| Client::new([198, 51, 100, 7], u16::to_be_bytes((n & 0xffff) as u16));
    for client in [&by_address as &dyn Fn(u32) -> Client, &by_port] {
        let mut counts = vec![0_u32; BINS as usize];
        for n in 0..CLIENTS {
            counts[ring.slot_at(client(n).hash()).expect("in the ring") as usize] += 1;
        }
        let expected = f64::from(CLIENTS / BINS);
        let off = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
        let chi_square: f64 = counts.iter().map(off).sum();
        // Six standard deviations at this many degrees of freedom.
        let spread = 6.0 * (2.0 * f64::from(BINS)).sqrt();
        assert!((chi_square - f64::from(BINS)).abs() < spread, "{chi_square}");
    }
}

#[test]
fn load_is_connections_for_their_weight() {
    assert!(is_busier(2, 1, 1, 1));
    assert!(!is_busier(1, 1, 1, 1), "nobody is busier among equals");
    assert!(!is_busier(5, 5, 1, 1));
    assert!(is_busier(6, 5, 1, 1));
    assert!(is_busier(u32::MAX, 1, u32::MAX, u16::MAX));
}

proptest! {
    #[test]
    fn slots_by_lot_lie_in_the_ring(offset in 0_u32..1 << 22, length in 1_u32..70_000, parts: (u32, u32)) {
        let ring = Ring { offset, length };
        let slots = offset..offset + length;
        let first = ring.slot_at(parts.0).expect("in the ring");
        prop_assert!(slots.contains(&first));
        let second = ring.slot_beside(first, parts.1);
        prop_assert_eq!(second.is_none(), length == 1);
        prop_assert!(second.is_none_or(|second| slots.contains(&second) && second != first));
    }
}

#[test]
fn every_other_slot_can_be_drawn_beside_one() {
    let ring = Ring { offset: 7, length: 5 };
    for first in 7..12 {
        let parts = (0..4).map(|quarter| quarter << 30);
        let others: HashSet<_> = parts.filter_map(|part| ring.slot_beside(first, part)).collect();
        assert_eq!(others, (7..12).filter(|slot| *slot != first).collect());
    }
    assert_eq!(Ring::default().slot_at(0), None);
}
