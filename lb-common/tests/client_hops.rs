//! Slots of next hops to clients.

use std::collections::HashSet;

use lb_common::{
    backend::Hop,
    client_hops::{NO_SLOT, SLOTS, SharedSlot, SharedSlots, index_of, release_unused},
};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

fn slots() -> Vec<SharedSlot> {
    (0..SLOTS).map(|_| SharedSlot::default()).collect()
}

fn hop(number: u32) -> Hop {
    let [a, b, c, d] = number.to_be_bytes();
    Hop::new([2, 0, a, b, c, d], [4; 6], 3)
}

/// Ends a sweep that has found flows of these slots only.
fn sweep(slots: SharedSlots<'_>, used: &[u32]) {
    let used: Vec<bool> = (0..SLOTS).map(|index| used.contains(&index)).collect();
    release_unused(slots, &used);
}

#[test]
fn a_hop_has_one_slot_and_keeps_it() {
    let slots = slots();
    let slots = SharedSlots { slots: &slots, seed: SEED };
    let indices: Vec<u32> = (0..1_000).map(|number| index_of(slots, hop(number))).collect();
    assert_eq!(indices.iter().collect::<HashSet<_>>().len(), 1_000);
    for (number, index) in (0..).zip(indices) {
        assert_ne!(index, NO_SLOT);
        assert_eq!(slots.hop(index), hop(number));
        assert_eq!(index_of(slots, hop(number)), index);
    }
    assert_eq!(slots.hop(NO_SLOT), Hop::default());
}

#[test]
fn a_full_table_refuses_new_hops_and_keeps_the_others() {
    let slots = slots();
    let slots = SharedSlots { slots: &slots, seed: SEED };
    let known: Vec<_> = (0..4 * SLOTS)
        .map(|number| (number, index_of(slots, hop(number))))
        .filter(|(_, index)| *index != NO_SLOT)
        .collect();
    assert_eq!(known.len(), SLOTS as usize - 1, "all but one can be used");
    assert!(known.iter().all(|(number, index)| index_of(slots, hop(*number)) == *index));
}

#[test]
fn half_a_table_of_hops_finds_room() {
    for seed in 0..20 {
        let slots = slots();
        let slots = SharedSlots { slots: &slots, seed };
        assert!((0..SLOTS / 2).all(|number| index_of(slots, hop(number)) != NO_SLOT), "{seed}");
    }
}

#[test]
fn a_slot_is_free_after_two_sweeps_without_a_flow() {
    let slots = slots();
    let slots = SharedSlots { slots: &slots, seed: SEED };
    let (one, other) = (index_of(slots, hop(1)), index_of(slots, hop(2)));
    sweep(slots, &[other]);
    assert_eq!(slots.hop(one), hop(1), "a packet may be about to use it");
    sweep(slots, &[other]);
    let taken = (3..100 * SLOTS).find(|number| index_of(slots, hop(*number)) == one);
    assert!(taken.is_some(), "another hop gets the slot");
    assert_eq!(index_of(slots, hop(2)), other);
}

#[test]
fn a_retired_slot_that_is_used_again_stays() {
    let slots = slots();
    let slots = SharedSlots { slots: &slots, seed: SEED };
    let index = index_of(slots, hop(1));
    // By a new connection between the sweeps.
    sweep(slots, &[]);
    assert_eq!(index_of(slots, hop(1)), index);
    sweep(slots, &[]);
    assert_eq!(slots.hop(index), hop(1));
    // By a connection that an earlier sweep could not see yet.
    sweep(slots, &[index]);
    sweep(slots, &[]);
    sweep(slots, &[index]);
    sweep(slots, &[]);
    assert_eq!(index_of(slots, hop(1)), index);
}
