//! Sweeps of the table: what has timed out is removed, and everything is counted.

mod counts;
mod ends;
mod idle;

use std::{collections::HashMap, iter, sync::Arc};

use lb_common::{
    backend::Hop,
    client_hops::{SharedSlots, release_unused},
    ended::Cause,
    event::ClientHop,
    flow::{Direction, State, flags_seen, ticks},
    table::{
        Entry as _, Hit, Index, Review, Reviewed, SharedEntry, SharedTable, Tag, WAYS, at,
        mark_expiring, partner, remove, revive,
    },
};
use lb_model::Timeouts;

pub use self::counts::{FlowCounts, Search, States};
use self::{counts::MOST_HOPS, idle::IdleLimits};
use super::{accounts::Accounts, ended::Ends, table::FlowTable};
use crate::active::Active;

/// Idle timeouts of connections by backend id; connections to other backends are removed.
pub type Expiry = HashMap<u32, Timeouts>;

/// Sweeps the table repeatedly.
///
/// One sweep marks a connection that has timed out as expiring, the next removes it if no packet has
/// come in the meantime. The time between two sweeps must be far longer than the processing of a packet,
/// so that a CPU that found the flow before it was marked has updated its time.
#[derive(Debug)]
pub struct Sweeper {
    table: Arc<FlowTable>,
    active: Active,
    expiring: Vec<Expiring>,
}

/// Index of an expiring flow, and its tag if nothing has happened to it.
#[derive(Debug)]
struct Expiring {
    index: Index,
    tag: Tag,
}

type Found<'a> = Hit<&'a SharedEntry>;

/// A sweep.
struct Sweep<'a> {
    table: SharedTable<'a>,
    accounts: Option<&'a Accounts>,
    ends: Ends<'a>,
    hops: SharedSlots<'a>,
    now: u32,
    /// By backend id: idle ticks by state, or None to remove its connections.
    limits: Vec<Option<IdleLimits>>,
    search: &'a Search,
    /// By index of the next hop to a client: true if a flow refers to it.
    used_hops: Vec<bool>,
    last_hop: Hop,
    tallies: Vec<Tally>,
    flow_counts: FlowCounts,
}

/// A backend's connections.
#[derive(Clone, Copy, Default)]
struct Tally {
    active: u64,
    is_referred: bool,
}

impl Sweeper {
    #[must_use]
    pub fn new(table: Arc<FlowTable>, active: Active) -> Self {
        Self { table, active, expiring: Vec::new() }
    }

    /// Sweeps the whole table once, and corrects the program's counters. `now` is the time of
    /// `expiry`; later connections are not subject to it. Tells the ends of connections that it removes.
    pub fn sweep(
        &mut self,
        now: u32,
        expiry: &Expiry,
        search: &Search,
        ends: Ends<'_>,
    ) -> FlowCounts {
        let table = self.table.table();
        let before = self.active.counts();
        let mut sweep = Sweep::new(&self.table, now, expiry, search, ends);
        for expiring in self.expiring.drain(..) {
            sweep.remove_expired(&expiring);
        }
        let mut homes = vec![0; table.buckets.len() * WAYS as usize];
        let mut review = Review::new(table, &mut homes);
        for entry in table.entries() {
            let Reviewed { hit: flow, is_lost } = review.visit(entry);
            // Who it was a connection of is not known.
            if !flow.tag.is_held() || is_lost && sweep.remove(flow) {
                continue;
            }
            sweep.note(flow);
            if is_lost {
                continue;
            }
            let flow = sweep.tell_closed(flow);
            let expiring = sweep.judge(flow);
            self.expiring.extend(expiring.map(|tag| Expiring { index: flow.index, tag }));
        }
        // Otherwise, flows that were being written may refer to any hop.
        sweep.flow_counts.has_seen_all = review.finish();
        if sweep.flow_counts.has_seen_all {
            release_unused(sweep.hops, &sweep.used_hops);
        }
        let found = sweep.tallies.iter().map(|tally| tally.active);
        self.active.correct(&before, found.chain(iter::repeat(0)));
        sweep.finish()
    }
}

impl<'a> Sweep<'a> {
    fn new(
        flows: &'a FlowTable,
        now: u32,
        expiry: &Expiry,
        search: &'a Search,
        ends: Ends<'a>,
    ) -> Self {
        let (table, hops, accounts) = (flows.table(), flows.client_hops(), flows.accounts());
        let ids = expiry.keys().max().map_or(0, |last| *last as usize + 1);
        let mut limits = vec![None; ids];
        for (id, timeouts) in expiry {
            if let Some(place) = limits.get_mut(*id as usize) {
                *place = Some(IdleLimits::of(timeouts));
            }
        }
        let tallies = vec![Tally::default(); ids];
        let used_hops = vec![false; hops.slots.len()];
        let (last_hop, flow_counts) = Default::default();
        Self {
            table,
            accounts,
            ends,
            hops,
            now,
            limits,
            search,
            used_hops,
            last_hop,
            tallies,
            flow_counts,
        }
    }

    /// Records that a flow refers to its next hop and its backend.
    fn note(&mut self, flow: Found<'_>) {
        let pair = flow.entry.pair();
        if let Some(used) = self.used_hops.get_mut(pair.hop() as usize) {
            *used = true;
        }
        if let Some(tally) = self.tallies.get_mut(pair.backend() as usize) {
            tally.is_referred = true;
        }
    }

    /// Removes an expiring connection, or revives it if a packet has come.
    fn remove_expired(&mut self, Expiring { index, tag }: &Expiring) {
        let found = at(self.table, *index).filter(|found| found.tag.is_unchanged(*tag));
        let Some(flow) = found else { return };
        if !self.is_overdue(flow) {
            // Otherwise its next packet does it, or another sweep.
            let _ = revive(self.table, flow.index, flow.tag);
        } else if self.end(flow, Cause::Expired) {
            self.flow_counts.expired += 1;
        }
    }

    /// Checks a flow. Marks its connection as expiring if it has timed out, and returns the new tag.
    fn judge(&mut self, flow: Found<'a>) -> Option<Tag> {
        if self.limits(flow).is_none() {
            // Its backend is gone, so that no packet must revive it.
            let is_known_to_us = ticks::since(self.began(flow), self.now) > 0;
            self.flow_counts.expired +=
                u64::from(is_known_to_us && self.end(flow, Cause::Dismissed));
            return None;
        }
        self.count(flow);
        if !self.is_overdue(flow) {
            return None;
        }
        let partner = self.partner(flow);
        if partner.is_some() && flow.direction() == Direction::ToClient {
            // The other entry is checked for both.
            return None;
        }
        if let Some(partner) = partner.filter(|partner| !partner.tag.is_expiring()) {
            mark_expiring(partner)?;
        }
        if flow.tag.is_expiring() { Some(flow.tag) } else { mark_expiring(flow) }
    }

    /// Returns true if neither entry of a connection has seen a packet for too long.
    fn is_overdue(&self, flow: Found<'a>) -> bool {
        let Some(limits) = self.limits(flow) else { return true };
        self.is_idle(flow, limits.of_state(flow.state()))
    }

    /// Returns true if neither entry of a connection has seen a packet for longer than this, in ticks.
    fn is_idle(&self, flow: Found<'a>, limit: u32) -> bool {
        let is_idle = |flow: Found<'_>| ticks::between(flow.entry.last_seen(), self.now) > limit;
        is_idle(flow) && self.partner(flow).is_none_or(is_idle)
    }

    /// Returns the other entry, unless this one is single on purpose.
    fn partner(&self, flow: Found<'a>) -> Option<Found<'a>> {
        if flow.tag.flags_seen() & flags_seen::QUARANTINED != 0 {
            return None;
        }
        partner(self.table, flow)
    }

    /// Returns the start of a connection.
    fn began(&self, flow: Found<'a>) -> u32 {
        let to_backend = match flow.direction() {
            Direction::ToBackend => Some(flow),
            Direction::ToClient => self.partner(flow),
        };
        let found = to_backend
            .and_then(|entry| Some((entry.tag.flags_seen(), entry.snapshot(self.table)?)));
        found.map_or_else(|| flow.entry.last_seen(), |(seen, entry)| entry.flow.began(seen))
    }

    fn remove(&self, flow: Found<'a>) -> bool {
        remove(self.table, flow.index, flow.tag, flow.tag.freed(), self.now)
    }

    fn limits(&self, flow: Found<'_>) -> Option<IdleLimits> {
        self.limits.get(flow.entry.pair().backend() as usize).copied().flatten()
    }

    /// Counts each connection once, by its entry towards the backend.
    fn count(&mut self, flow: Found<'_>) {
        self.flow_counts.entries += 1;
        if flow.direction() == Direction::ToClient {
            self.flow_counts.cooling +=
                u64::from(flow.tag.flags_seen() & flags_seen::QUARANTINED != 0);
            return;
        }
        let state = flow.state();
        self.flow_counts.states.count(state);
        self.look_at_hop(flow);
        if let Some(tally) = self.tallies.get_mut(flow.entry.pair().backend() as usize) {
            tally.active += u64::from(state != State::Closed);
        }
    }

    /// Records the next hop of a client, and the move that applies to it, if any.
    fn look_at_hop(&mut self, flow: Found<'_>) {
        let pair = flow.entry.pair();
        let (hop, client) = (self.hops.hop(pair.hop()), pair.client());
        if hop != self.last_hop && self.flow_counts.client_hops.len() < MOST_HOPS {
            self.flow_counts.client_hops.entry(hop).or_insert(client);
        }
        self.last_hop = hop;
        self.look_for(hop, client);
        let (moves, found) = (&self.search.moves, &mut self.flow_counts.found);
        let wanted = match flow.state() {
            State::HalfOpen => moves.wanted_in_handshake(hop, client, found),
            _ => moves.wanted(hop, client, found),
        };
        if let Some(to) = wanted
            && self.flow_counts.has_all_moved()
        {
            let (tag, index) = (flow.tag.word(), flow.index.0);
            self.flow_counts.moved.push(ClientHop { tag, hop: to, index, reserved: 0 });
        }
    }

    /// Records a client of a searched hop.
    fn look_for(&mut self, hop: Hop, client: [u8; 4]) {
        if self.search.clients_of.is_empty() || !self.flow_counts.has_all_clients() {
            return;
        }
        let known = self.search.clients_of.get(&hop);
        if known.is_some_and(|known| !known.contains(&client)) {
            self.flow_counts.clients.insert((hop, client));
        }
    }

    fn finish(self) -> FlowCounts {
        let referred = (0..).zip(&self.tallies).filter(|(_, tally)| tally.is_referred);
        FlowCounts { referred: referred.map(|(id, _)| id).collect(), ..self.flow_counts }
    }
}
