use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

/// Members with these weights and ids from 1.
fn members(weights: &[u16]) -> Vec<Member> {
    (1..).zip(weights).map(|(id, weight)| member(id, *weight)).collect()
}

fn member(id: u32, weight: u16) -> Member {
    let ip = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + id);
    Member { id, address: SocketAddr::new(ip.into(), 80), weight }
}

fn share(ring: &[u32], id: u32) -> usize {
    ring.iter().filter(|slot| **slot == id).count()
}

/// Asserts that each member's share of the ring matches its weight, to 1 % plus one slot of the
/// longest ring.
fn assert_shares(ring: &[u32], members: &[Member]) {
    let total: f64 = members.iter().map(|member| f64::from(member.weight)).sum();
    for Member { id, weight, .. } in members {
        let wanted = f64::from(*weight) / total;
        #[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand")]
        let got = share(ring, *id) as f64 / ring.len() as f64;
        let slot = 1.0 / f64::from(LONGEST);
        assert!((got - wanted).abs() <= wanted * 0.01 + slot, "{got} for {wanted}");
    }
}

/// Counts the slots that moved between members other than this one.
fn needlessly_moved(one: &[u32], other: &[u32], id: u32) -> usize {
    let slots = one.iter().zip(other);
    slots.filter(|(a, b)| a != b && **a != id && **b != id).count()
}

#[test]
fn nobody_makes_an_empty_ring() {
    assert!(build(Scheduler::RoundRobin, &[]).is_empty());
    assert!(build(Scheduler::Maglev, &[]).is_empty());
}

#[test]
fn equals_take_turns_in_order() {
    assert_eq!(build(Scheduler::RoundRobin, &members(&[3, 3, 3])), [1, 2, 3]);
}

#[test]
fn the_heavy_one_is_spread_out() {
    assert_eq!(build(Scheduler::Random, &members(&[5, 1, 2])), [1, 3, 1, 1, 2, 1, 3, 1]);
}

#[test]
fn ratios_are_exact_in_a_table_to_one_percent() {
    for ratio in [1, 2, 3, 5, 10, 100, 500, 650] {
        let ring = build(Scheduler::Maglev, &members(&[1, ratio]));
        #[expect(clippy::cast_precision_loss, reason = "at most 65,537")]
        let got = share(&ring, 2) as f64 / share(&ring, 1) as f64;
        let wanted = f64::from(ratio);
        assert!((got / wanted - 1.0).abs() <= 0.01, "1:{ratio} became 1:{got}");
    }
}

#[test]
fn the_lightest_has_a_slot() {
    let ring = build(Scheduler::Maglev, &members(&[u16::MAX, 1, u16::MAX]));
    assert_eq!((ring.len(), share(&ring, 2)), (65_537, 1));
}

#[test]
fn more_members_than_slots_fill_a_ring() {
    let members = members(&vec![1; 70_000]);
    let table = build(Scheduler::Maglev, &members);
    assert_eq!((table.len(), share(&table, 1)), (65_537, 1));
    assert_eq!(build(Scheduler::RoundRobin, &members), (1..=70_000).collect::<Vec<_>>());
}

#[test]
fn one_of_a_hundred_leaves_or_joins_and_hardly_anybody_moves() {
    let equal = vec![1; 100];
    let various: Vec<_> = (1..=10).cycle().take(100).collect();
    for weights in [equal, various] {
        let all = members(&weights);
        let full = build(Scheduler::Maglev, &all);
        for place in (0..100).step_by(7) {
            let mut others = all.clone();
            let gone = others.remove(place).id;
            let without = build(Scheduler::SourceHash, &others);
            let moved = needlessly_moved(&full, &without, gone);
            assert!(moved <= full.len() / 100, "{moved} of {} slots moved", full.len());
        }
    }
}

/// A change of one of a thousand backends must not delay the daemon.
#[test]
#[ignore = "a measurement, to be made with --release"]
fn a_table_for_a_thousand_takes_less_than_five_milliseconds() {
    const RUNS: usize = 101;
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 5 });
    let equal = vec![1; 1_000];
    let various: Vec<_> = (1..=100).cycle().take(1_000).collect();
    for weights in [equal, various] {
        let members = members(&weights);
        let mut times: Vec<_> = (0..RUNS)
            .map(|_| {
                let begun = Instant::now();
                assert_eq!(build(Scheduler::Maglev, &members).len(), 65_537);
                begun.elapsed()
            })
            .collect();
        times.sort();
        println!("{:?} (median), {:?} (most)", times[RUNS / 2], times[RUNS - 1]);
        assert!(times[RUNS / 2] < limit);
    }
}

/// Other balancers must build the same table: changing it breaks compatibility.
#[test]
fn a_table_is_the_same_everywhere() {
    let ring = build(Scheduler::Maglev, &members(&[1, 1, 1]));
    assert_eq!(ring[..12], [3, 3, 2, 3, 2, 2, 3, 2, 2, 1, 2, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn weights_are_exact_or_within_one_percent(weights in prop::collection::vec(1_u16.., 1..20)) {
        let members = members(&weights);
        for scheduler in [Scheduler::RoundRobin, Scheduler::Maglev] {
            assert_shares(&build(scheduler, &members), &members);
        }
    }

    #[test]
    fn no_prefix_strays_from_the_ratio(weights in prop::collection::vec(1_u16..50, 1..8)) {
        let members = members(&weights);
        let ring = build(Scheduler::RoundRobin, &members);
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        for Member { id, weight, .. } in members {
            for length in 1..=ring.len() {
                #[expect(clippy::cast_precision_loss, reason = "small counts")]
                let (got, length) = (share(&ring[..length], id) as f64, length as f64);
                #[expect(clippy::cast_precision_loss, reason = "small counts")]
                let bound = 1.0 + weights.len() as f64 / 2.0;
                prop_assert!((got - f64::from(weight) / total * length).abs() <= bound);
            }
        }
    }

    #[test]
    fn a_table_hangs_on_addresses_and_weights_only(
        weights in prop::collection::vec(1_u16..100, 1..30),
        offset in 1_u32..1_000,
    ) {
        let ordered = members(&weights);
        let ring = build(Scheduler::Maglev, &ordered);
        let mut others: Vec<_> =
            ordered.iter().map(|one| Member { id: one.id + offset, ..*one }).collect();
        others.reverse();
        let renamed: Vec<_> = ring.iter().map(|id| id + offset).collect();
        prop_assert_eq!(build(Scheduler::Maglev, &others), renamed);
    }

    #[test]
    fn few_move_when_one_of_some_leaves(
        weights in prop::collection::vec(1_u16..20, 2..60),
        gone in any::<prop::sample::Index>(),
    ) {
        let mut members = members(&weights);
        let full = build(Scheduler::Maglev, &members);
        let gone = members.remove(gone.index(weights.len())).id;
        let without = build(Scheduler::Maglev, &members);
        // Slots other than those of the removed member.
        let moved = needlessly_moved(&full, &without, gone);
        prop_assert!(moved <= full.len() / 20, "{} slots moved", moved);
    }
}
