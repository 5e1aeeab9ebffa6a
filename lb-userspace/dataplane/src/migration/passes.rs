//! Connections of the former flow table, imported into the new one.

use std::{fmt, iter, sync::Arc};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use lb_common::{
    flow::{Direction, FlowKey, Pair, State, ticks},
    table::{
        Entry as _, Hit, IMPORTS_EACH_RUN, Import, Imported, Index, SharedEntry, SharedTable, Tag,
        WAYS, partner, peek,
    },
};

use super::{gone, pinned};
use crate::{
    flows::{ACCOUNTS, BACKENDS, CLIENT_HOPS, FLOWS, FlowTable, TablePlan},
    object::map,
    pins::Pins,
};

/// States of connections, in the order in which they are imported: those that have ended, or hardly begun,
/// get what room is left.
const ORDER: [&[State]; 2] =
    [&[State::Established, State::Answered, State::Closing], &[State::Closed, State::HalfOpen]];

/// A pass over the former table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Leaves half-open connections to the last one: most will have been established then, or have failed.
    First,
    Last,
}

/// The former flow table. It has the new one's seed, and shares its backends and next hops to clients.
pub(super) struct FormerTable {
    table: FlowTable,
    new: Arc<FlowTable>,
    /// Tag that each entry had when its connection was imported.
    imported: Vec<Tag>,
}

/// What has become of the connections in a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    moved: usize,
    full: usize,
    taken: usize,
    busy: usize,
}

impl FormerTable {
    /// Opens it, to move what it holds to the new one.
    pub(super) fn open(
        plan: &TablePlan,
        pins: &Pins,
        ebpf: &Ebpf,
        new: Arc<FlowTable>,
    ) -> Result<Self> {
        let flows = pinned(&pins.former(FLOWS))?.context("the former flow table is gone")?;
        let mut table = plan.open(&flows, map(ebpf, BACKENDS)?, map(ebpf, CLIENT_HOPS)?)?;
        if let Some(accounts) = pinned(&pins.former(ACCOUNTS))? {
            table = table.with_accounts(&accounts)?;
        }
        let imported = vec![Tag::default(); table.table().buckets.len() * WAYS as usize];
        Ok(Self { table, new, imported })
    }

    /// Returns the number of connections.
    pub(super) fn count(&self) -> usize {
        to_backends(self.table.table()).count()
    }

    /// Imports the connections that have not been, or have changed since: first those that must not be lost.
    pub(super) fn pass(&mut self, program: &Xdp, round: Round) -> Result<Tally> {
        let mut tally = Tally::default();
        for states in ORDER {
            self.pass_over(program, round, states, &mut tally)?;
        }
        Ok(tally)
    }

    fn pass_over(
        &mut self,
        program: &Xdp,
        round: Round,
        states: &[State],
        tally: &mut Tally,
    ) -> Result<()> {
        let Self { table: former, new, imported } = self;
        let table = former.table();
        let is_due = |hit: &Found<'_>| {
            let state = hit.state();
            states.contains(&state) && (round == Round::Last || state != State::HalfOpen)
        };
        let mut entries = to_backends(table).filter(is_due);
        loop {
            let mut batch = Vec::new();
            for hit in entries.by_ref() {
                let earlier = imported[hit.index.0 as usize];
                let Some(import) = connection(table, hit, earlier) else { continue };
                let is_done = earlier == hit.tag
                    && (round == Round::First || has_arrived(table, new.table(), hit, &import));
                if is_done {
                    tally.moved += 1;
                    if round == Round::Last {
                        move_accounts(former, new, hit);
                    }
                    continue;
                }
                batch.push((hit, import));
                if batch.len() == IMPORTS_EACH_RUN {
                    break;
                }
            }
            if batch.is_empty() {
                return Ok(());
            }
            let imports: Vec<_> = batch.iter().map(|(_, import)| *import).collect();
            for ((hit, _), result) in batch.iter().zip(import_patiently(program, &imports)?) {
                if tally.count(result) {
                    if result == Imported::Added {
                        begin_accounts(former, new, *hit);
                    }
                    if round == Round::Last {
                        move_accounts(former, new, *hit);
                    }
                    imported[hit.index.0 as usize] = hit.tag;
                }
            }
        }
    }

    /// Removes what has ended after the first pass, see [`gone::remove`].
    pub(super) fn remove_ended(&self, since: u32) {
        gone::remove(self.table.table(), self.new.table(), since);
    }
}

/// Returns true if a connection is in the new table with the numbers that it has in the former one.
fn has_arrived(
    former: SharedTable<'_>,
    new: SharedTable<'_>,
    hit: Found<'_>,
    import: &Import,
) -> bool {
    let found = same_connection(new, &hit.key(former), hit.entry.pair());
    let to_client = found.and_then(|found| partner(new, found));
    to_client.is_some_and(|to_client| to_client.entry.extra() == import.number)
}

/// Returns the entry of a tuple, if it is of a connection with this pair.
pub(super) fn same_connection<'a>(
    table: SharedTable<'a>,
    key: &FlowKey,
    pair: Pair,
) -> Option<Found<'a>> {
    peek(table, key).filter(|found| found.entry.pair().is_same(pair))
}

/// Clears what other flows have left in the accounts of a connection that is new in its table.
fn begin_accounts(former: &FlowTable, new: &FlowTable, hit: Found<'_>) {
    let Some(accounts) = new.accounts() else { return };
    for (_, to) in places(former, new, hit) {
        accounts.clear(to);
    }
}

/// Moves the accounts of a connection that is in both tables, once the former program has counted its last packet.
fn move_accounts(former: &FlowTable, new: &FlowTable, hit: Found<'_>) {
    let (Some(from), Some(to)) = (former.accounts(), new.accounts()) else { return };
    for (place, moved) in places(former, new, hit) {
        from.pass(place, to, moved);
    }
}

/// Returns the indices of both of a connection's entries in the former table and in the new one.
fn places<'a>(
    former: &'a FlowTable,
    new: &'a FlowTable,
    hit: Found<'a>,
) -> impl Iterator<Item = (Index, Index)> {
    let (old, table) = (former.table(), new.table());
    iter::once(hit).chain(partner(old, hit)).filter_map(move |hit| {
        let moved = hit.snapshot(old).and_then(|flow| peek(table, &flow.key))?;
        Some((hit.index, moved.index))
    })
}

impl Tally {
    /// Counts a result. Returns true if the connection is in the new table.
    fn count(&mut self, result: Imported) -> bool {
        let (count, is_moved) = match result {
            Imported::Added | Imported::Known | Imported::Updated => (&mut self.moved, true),
            Imported::Full => (&mut self.full, false),
            Imported::Taken => (&mut self.taken, false),
            Imported::Busy | Imported::Not => (&mut self.busy, false),
        };
        *count += 1;
        is_moved
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moved, full, taken, busy } = self;
        write!(f, "moved {moved} connections")?;
        let left = full + taken + busy;
        if left == 0 {
            return Ok(());
        }
        write!(
            f,
            ", and left {left}: there was no room for {full}, others have the addresses and "
        )?;
        write!(f, "ports of {taken}, and the entries of {busy} were in use all the time")
    }
}

pub(super) type Found<'a> = Hit<&'a SharedEntry>;

/// Returns the connections of a table, as far as they are whole.
pub fn connections(table: SharedTable<'_>) -> impl Iterator<Item = Import> {
    to_backends(table).filter_map(move |hit| connection(table, hit, Tag::default()))
}

/// Returns the entries towards backends, one for each connection. A source port that rests after its
/// connection has none.
pub(super) fn to_backends(table: SharedTable<'_>) -> impl Iterator<Item = Found<'_>> {
    table.flows().filter(|hit| hit.direction() == Direction::ToBackend)
}

/// Returns the connection of an entry towards the backend, whose tag was this when it was imported earlier.
fn connection(table: SharedTable<'_>, hit: Found<'_>, earlier: Tag) -> Option<Import> {
    let to_client = partner(table, hit)?.entry;
    let Hit { entry, tag, .. } = hit;
    let connection = Import {
        pair: entry.pair().words(),
        last_seen: last(entry.last_seen(), to_client.last_seen()),
        number: to_client.extra(),
        other: entry.extra(),
        seen: tag.flags_seen(),
        before: if earlier.is_same_flow(tag) { earlier.flags_seen() } else { 0 },
        is_told: tag.is_told().into(),
        ..Import::default()
    };
    hit.holds().then_some(connection)
}

/// Returns the later one of two moments, which may be of different sides of a wrap of the clock.
pub(super) fn last(one: u32, other: u32) -> u32 {
    if ticks::between(one, other) > 0 { other } else { one }
}

/// Imports connections, at most [`IMPORTS_EACH_RUN`], by a program of the object. Returns their results.
///
/// # Errors
///
/// Returns an error if the program cannot be run.
pub fn import(program: &Xdp, connections: &[Import]) -> Result<Vec<Imported>> {
    if connections.is_empty() {
        return Ok(Vec::new());
    }
    let mut results = vec![Import::default(); connections.len()];
    let options = TestRunOptions {
        data_in: Some(bytemuck::cast_slice(connections)),
        data_out: Some(bytemuck::cast_slice_mut(&mut results)),
        ..TestRunOptions::default()
    };
    program.test_run(options).context("cannot move connections")?;
    Ok(results.iter().map(|one| Imported::from_number(one.result)).collect())
}

/// Number of runs for connections whose entries others are changing at that moment.
const TRIES: u32 = 16;

/// As [`import`], but tries again for those whose entries others are changing.
fn import_patiently(program: &Xdp, connections: &[Import]) -> Result<Vec<Imported>> {
    let mut results = vec![Imported::Not; connections.len()];
    let mut left: Vec<usize> = (0..connections.len()).collect();
    for _ in 0..TRIES {
        if left.is_empty() {
            break;
        }
        let imports: Vec<_> = left.iter().map(|place| connections[*place]).collect();
        for (place, result) in left.iter().zip(import(program, &imports)?) {
            results[*place] = result;
        }
        left.retain(|place| results[*place] == Imported::Busy);
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_with_its_reasons() {
        let mut tally = Tally::default();
        assert!(tally.count(Imported::Added) && tally.count(Imported::Known));
        assert_eq!(tally.to_string(), "moved 2 connections");
        assert!(!tally.count(Imported::Full) && !tally.count(Imported::Taken));
        assert_eq!(
            tally.to_string(),
            "moved 2 connections, and left 2: there was no room for 1, others have the addresses \
             and ports of 1, and the entries of 0 were in use all the time"
        );
    }

    #[test]
    fn the_later_moment_counts_across_a_wrap() {
        assert_eq!([last(5, 9), last(9, 5), last(u32::MAX, 3), last(3, u32::MAX)], [9, 9, 3, 3]);
    }
}
