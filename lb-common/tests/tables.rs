//! States, turns, clocks and names.

use std::collections::HashSet;

use lb_common::{
    flow::{Direction, State, marks, ticks},
    mapped,
    reason::Reason,
    ring::Ring,
    snat::{STRIDE, draw},
    tcp::{ACK, FIN, RST, SYN},
    unmapped,
};
use proptest::prelude::*;

fn after(segments: &[(Direction, u8)]) -> State {
    let marks = segments
        .iter()
        .fold(0, |marks, (direction, flags)| marks::after(marks, *direction, *flags));
    State::of(marks)
}

#[test]
fn a_connection_goes_through_its_states() {
    use Direction::{ToBackend, ToClient};
    let life = [
        (ToBackend, SYN, State::HalfOpen),
        (ToClient, SYN | ACK, State::HalfOpen),
        (ToBackend, ACK, State::Established),
        (ToClient, ACK, State::Established),
        (ToClient, FIN | ACK, State::Closing),
        (ToBackend, ACK, State::Closing),
        (ToBackend, FIN | ACK, State::Closed),
        (ToClient, ACK, State::Closed),
    ];
    let segments: Vec<_> = life.iter().map(|(direction, flags, _)| (*direction, *flags)).collect();
    for (count, (_, _, state)) in (1..).zip(&life) {
        assert_eq!(after(&segments[..count]), *state, "after {count} segments");
    }
}

#[test]
fn an_acknowledgement_without_an_answer_establishes_nothing() {
    assert_eq!(after(&[(Direction::ToBackend, SYN), (Direction::ToBackend, ACK)]), State::HalfOpen);
}

#[test]
fn a_reset_closes_until_its_sender_goes_on() {
    use Direction::{ToBackend, ToClient};
    let open = [(ToBackend, SYN), (ToClient, SYN | ACK), (ToBackend, ACK)];
    let reset = [&open[..], &[(ToBackend, RST)]].concat();
    assert_eq!(after(&reset), State::Closed);
    assert_eq!(after(&[&reset[..], &[(ToClient, ACK)]].concat()), State::Closed);
    assert_eq!(after(&[&reset[..], &[(ToBackend, ACK)]].concat()), State::Established);
}

#[test]
fn reasons_have_names_of_their_own() {
    let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    for (index, reason) in (0..).zip(Reason::ALL) {
        assert_eq!(*reason as u32, index);
    }
}

proptest! {
    #[test]
    fn every_source_and_port_rests_as_long_as_there_are_others(
        sources in 1_u32..5, ports in 1_u16..50, start in 0_u64..1_000_000,
    ) {
        let cycle = u64::from(sources) * u64::from(ports);
        let drawn: HashSet<_> = (start..start + cycle).map(|turn| draw(turn, sources, ports)).collect();
        prop_assert_eq!(drawn.len() as u64, cycle);
        for (source, port) in drawn {
            prop_assert!(source < sources && port < ports);
        }
    }

    #[test]
    fn tries_meet_different_sources_and_ports(
        sources in 1_u32..5, ports in 1_u16..=u16::MAX, start in 0_u64..1_000_000,
    ) {
        let tries = 8.min(u64::from(sources) * u64::from(ports));
        let tried: HashSet<_> =
            (0..tries).map(|attempt| draw(start + attempt * STRIDE, sources, ports)).collect();
        prop_assert_eq!(tried.len() as u64, tries);
    }

    #[test]
    fn turns_go_round_the_ring(offset in 0_u32..1_000, length in 1_u32..100, turn: u64) {
        let ring = Ring { offset, length };
        let slot = ring.slot(turn).expect("not empty");
        prop_assert_eq!(u64::from(slot - offset), turn % u64::from(length));
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
