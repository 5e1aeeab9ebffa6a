//! Connections of the new table that have ended in the former one since they were imported.

use lb_common::{
    flow::ticks,
    table::{self, Entry as _, SharedTable, partner},
};

use super::passes::{Found, last, same_connection, to_backends};

/// Ticks, of 20 ms, by which the program's clock may be late.
const LATE: u32 = ticks::from_nanos(20_000_000);

/// Removes the connections from the new table that the former one does not have any more, provided that no
/// packet has used them since the first interface got the new table. Others may have their tuples and ports by
/// now.
pub(super) fn remove(former: SharedTable<'_>, new: SharedTable<'_>, since: u32) {
    for hit in to_backends(new) {
        if is_unused(new, hit, since.wrapping_sub(LATE)) && !is_in(former, new, hit) {
            // A packet that uses it at this moment keeps it.
            table::remove(new, hit.index, hit.tag, hit.tag.freed(), since);
        }
    }
}

/// Returns true if the last packet of a connection came before this moment. Half of one is being made.
fn is_unused(table: SharedTable<'_>, hit: Found<'_>, since: u32) -> bool {
    partner(table, hit).is_some_and(|to_client| {
        ticks::between(last(hit.entry.last_seen(), to_client.entry.last_seen()), since) > 0
    })
}

/// Returns true if the former table has a connection of the new one.
fn is_in(former: SharedTable<'_>, new: SharedTable<'_>, hit: Found<'_>) -> bool {
    // Otherwise the entry is another connection's by now.
    hit.snapshot(new)
        .is_none_or(|flow| same_connection(former, &flow.key, flow.flow.pair).is_some())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use lb_common::{
        backend::Backend,
        client_hops::NO_SLOT,
        flow::{FlowKey, flags_seen},
        mapped,
        table::{Opening, Seed, SharedBackend, SharedBucket, buckets_for, open, peek},
    };

    use super::*;

    const IMPORTED: u32 = 1_000;
    const SWITCHED: u32 = 1_100;

    static BACKENDS: LazyLock<[SharedBackend; 2]> = LazyLock::new(|| {
        let (address, vip) = (mapped([10, 0, 0, 11]), mapped([203, 0, 113, 10]));
        let (port, vip_port) = ([31, 144], [0, 80]);
        let backend = Backend { address, port, vip, vip_port, ..Backend::default() };
        [Backend::default(), backend].map(|backend| SharedBackend::new(&backend))
    });

    fn inside(client: u8) -> FlowKey {
        FlowKey::tcp([192, 0, 2, client], [1, 1], [203, 0, 113, 10], [0, 80])
    }

    /// Makes a table of connections: their clients, the source port of each, and the time of its last packet.
    fn table(connections: &[(u8, u8, u32)]) -> Vec<SharedBucket> {
        let buckets: Vec<_> = (0..buckets_for(100)).map(|_| SharedBucket::default()).collect();
        for (client, port, now) in connections {
            let inside = &inside(*client);
            let outside = FlowKey::tcp([10, 0, 0, 1], [4, *port], [10, 0, 0, 11], [31, 144]);
            let seen = flags_seen::SHAKEN | flags_seen::PROVEN;
            let opening = Opening { inside, hop: NO_SLOT, backend: 1, seen, number: 0, now: *now };
            open(seeded(&buckets), &opening, &outside).expect("room");
        }
        buckets
    }

    fn seeded(buckets: &[SharedBucket]) -> SharedTable<'_> {
        SharedTable { buckets, backends: &*BACKENDS, seed: Seed::of_number(1) }
    }

    #[test]
    fn what_has_ended_in_the_former_table_goes_unless_it_is_used() {
        let former = table(&[(1, 1, IMPORTED), (2, 12, SWITCHED - 1)]);
        let new = table(&[
            (1, 1, IMPORTED),
            // Its client has used its port for another connection meanwhile.
            (2, 2, IMPORTED),
            (3, 3, IMPORTED),
            (4, 4, SWITCHED),
            // By a clock that is late.
            (5, 5, SWITCHED - 10),
        ]);
        remove(seeded(&former), seeded(&new), SWITCHED);
        let left = (1..6).filter(|client| peek(seeded(&new), &inside(*client)).is_some());
        assert_eq!(left.collect::<Vec<_>>(), [1, 4, 5]);
        assert_eq!(seeded(&new).flows().count(), 2 * 3, "whole connections");
    }
}
