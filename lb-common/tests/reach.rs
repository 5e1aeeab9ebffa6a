//! Reach of homes: extended by flows that are placed elsewhere, lowered by reviews.

#[path = "support/backends.rs"]
mod backends;
mod support;

use std::sync::LazyLock;

use lb_common::{
    client_hops::NO_SLOT,
    flow::{Direction, Endpoints, FlowKey, Protocol, V4, flags_seen},
    table::{
        Entry as _, Hit, Known, Opening, Review, Seed, SharedBackend, SharedBucket, SharedEntry,
        SharedTable, WAYS, find, open, peek, remove,
    },
};

use self::support::TestFamily as _;

const SEED: Seed = Seed::of_number(3);
static BACKENDS: LazyLock<Vec<SharedBackend>> = LazyLock::new(|| backends::of(&V4::endpoints()));
const BUCKETS: u32 = 32;
const CLIENTS: u16 = 160;
const SEEN: u16 = flags_seen::SHAKEN | flags_seen::PROVEN;

fn key(client: u16) -> FlowKey {
    V4::inside(Protocol::Tcp, [192, 0, 2, 1], client.to_be_bytes())
}

fn connect(table: SharedTable<'_>, client: u16) {
    let inside = &key(client);
    let outside = V4::outside(Protocol::Tcp, [10, 0, 0, 1], client.to_be_bytes());
    let opening = Opening { inside, hop: NO_SLOT, backend: 1, seen: SEEN, number: 0, now: 0 };
    open(table, &opening, &outside).expect("room");
}

fn disconnect(table: SharedTable<'_>, client: u16) {
    let Known { hit, .. } = find(table, &key(client)).expect("idle").expect("known");
    assert!(remove(table, hit.index, hit.tag, hit.tag.freed(), 0));
}

fn reach(table: SharedTable<'_>) -> u32 {
    table.entries().map(|hit| hit.tag.reach()).sum()
}

/// Reviews the table, and calls back before each entry.
fn review<'a>(table: SharedTable<'a>, mut before: impl FnMut(Hit<&'a SharedEntry>)) {
    let mut homes = vec![0; table.entries().count()];
    let mut review = Review::new(table, &mut homes);
    for hit in table.entries() {
        before(hit);
        let now = hit.entry.tag();
        let visited = review.visit(Hit { tag: now, ..hit });
        assert_eq!(visited.hit.tag, hit.entry.tag());
        assert!(!visited.is_lost, "{hit:?}");
    }
    review.finish();
}

fn sweep(table: SharedTable<'_>) {
    review(table, |_| {});
}

fn full() -> Vec<SharedBucket> {
    let buckets: Vec<_> = (0..BUCKETS).map(|_| SharedBucket::default()).collect();
    let table = SharedTable { buckets: &buckets, backends: &BACKENDS, seed: SEED };
    (0..CLIENTS).for_each(|client| connect(table, client));
    assert!(reach(table) > 0);
    buckets
}

#[test]
fn an_empty_table_has_no_reach_after_the_second_sweep() {
    let buckets = full();
    let table = SharedTable { buckets: &buckets, backends: &BACKENDS, seed: SEED };
    (0..CLIENTS).for_each(|client| disconnect(table, client));
    sweep(table);
    assert!(reach(table) > 0);
    sweep(table);
    assert_eq!(reach(table), 0);
}

#[test]
fn no_flow_is_ever_lost() {
    let buckets = full();
    let table = SharedTable { buckets: &buckets, backends: &BACKENDS, seed: SEED };
    for round in 0..CLIENTS / 5 {
        (round * 5..round * 5 + 5).for_each(|client| disconnect(table, client));
        sweep(table);
        for client in round * 5 + 5..CLIENTS {
            assert!(find(table, &key(client)).expect("idle").is_some(), "{client}");
        }
    }
}

#[test]
fn a_flow_that_is_placed_elsewhere_during_a_review_is_found() {
    let places = BUCKETS * WAYS;
    for moment in (0..places).step_by(37) {
        let buckets = full();
        let table = SharedTable { buckets: &buckets, backends: &BACKENDS, seed: SEED };
        sweep(table);
        review(table, |hit| {
            if hit.index.0 == moment {
                (CLIENTS..CLIENTS + 20).for_each(|client| connect(table, client));
            }
        });
        for client in 0..CLIENTS + 20 {
            assert!(find(table, &key(client)).expect("idle").is_some(), "{client} at {moment}");
        }
    }
}

/// A CPU that is stopped while it writes an entry hides the flow in it.
#[test]
fn nothing_is_lowered_while_an_entry_stays_claimed() {
    let buckets = full();
    let table = SharedTable { buckets: &buckets, backends: &BACKENDS, seed: SEED };
    let mut far = (0..CLIENTS).filter_map(|client| peek(table, &key(client)));
    let far = far.next_back().expect("some");
    sweep(table);
    let tag = far.entry.tag();
    let claimed = tag.claimed_to_change();
    assert_eq!(far.entry.exchange(tag, claimed), tag);
    let before = reach(table);
    sweep(table);
    assert_eq!(reach(table), before);
    far.entry.publish(claimed.published(tag.flags_seen()));
    for client in 0..CLIENTS {
        assert!(peek(table, &key(client)).is_some(), "{client}");
    }
}

/// Flows of an id that was taken back from its backend before the change that brought it was undone.
#[test]
fn flows_of_an_id_that_another_backend_has_by_now_are_lost() {
    let buckets = full();
    let entries = SharedTable { buckets: &buckets, backends: &BACKENDS, seed: SEED };
    let known = entries.flows().count();
    let others = backends::of(&Endpoints { backend: [10, 0, 0, 99], ..V4::endpoints() });
    let table = SharedTable { backends: &others, ..entries };
    let mut homes = vec![0; table.entries().count()];
    let mut review = Review::new(table, &mut homes);
    let visited: Vec<_> = table.entries().map(|hit| review.visit(hit)).collect();
    let lost = visited.iter().filter(|one| one.is_lost);
    // Replies come from another address now; the clients' packets go to the same VIP.
    assert_eq!(lost.clone().count(), known / 2);
    assert!(lost.clone().all(|one| one.hit.direction() == Direction::ToClient));
}
