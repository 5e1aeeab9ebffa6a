use std::{
    collections::{HashMap, HashSet},
    iter,
    sync::Arc,
};

use lb_common::{
    backend::Hop,
    event::ClientHop,
    flow::{Direction, State, marks, ticks},
    table::{
        Hit, Line as _, Place, SharedLine, SharedTable, Tag, at, condemn, partner, remove, revive,
    },
};

use super::{
    moves::{Moves, Scope},
    overflow::Recovering,
    table::FlowTable,
};
use crate::{dataplane::mapped::Active, model::Timeouts};

/// Connections by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    pub half_open: u64,
    pub answered: u64,
    pub established: u64,
    pub closing: u64,
    pub closed: u64,
}

/// Result of a sweep of the table.
#[derive(Clone, Debug, Default)]
pub struct FlowCounts {
    /// Entries of the table, two per connection.
    pub entries: u64,
    /// Single entries among them whose source port is cooling down.
    pub cooling: u64,
    pub states: States,
    /// Connections in any state, by backend id.
    pub known: HashMap<u32, u64>,
    /// Expired connections removed by this sweep.
    pub expired: u64,
    /// Next hops of clients, with a client of each; incomplete if there are very many.
    pub client_hops: HashMap<Hop, [u8; 4]>,
    /// Connections that must change their next hop; the next sweep finds more if there are very
    /// many.
    pub moved: Vec<ClientHop>,
    /// Moves of these connections.
    pub found: HashSet<Scope>,
    /// Clients of the searched hops, each with its hop; the next sweep finds more if there are very
    /// many.
    pub clients: HashSet<(Hop, [u8; 4])>,
}

impl FlowCounts {
    /// Frees the results on clients.
    pub fn forget_clients(&mut self) {
        let Self { client_hops, moved, found, clients, .. } = self;
        (*client_hops, *moved, *found, *clients) = Default::default();
    }

    /// Returns true if all connections that must change their hop were found.
    #[must_use]
    pub fn has_all_moved(&self) -> bool {
        self.moved.len() < MOST_MOVED
    }

    /// Returns true if all clients of the searched hops were found.
    #[must_use]
    pub fn has_all_clients(&self) -> bool {
        self.clients.len() < MOST_CLIENTS
    }
}

/// Additional search of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Search {
    pub moves: Moves,
    /// Hops whose clients to find, each with the clients already known.
    pub clients_of: HashMap<Hop, HashSet<[u8; 4]>>,
}

/// Maximum number of next hops of clients that a sweep reports.
const MOST_HOPS: usize = 1_024;

/// Maximum number of connections that a sweep moves.
const MOST_MOVED: usize = 1 << 16;

/// Maximum number of clients of searched hops that a sweep reports.
const MOST_CLIENTS: usize = 1_024;

/// Idle timeouts of connections by backend id; connections to other backends are removed.
pub type Expiry = HashMap<u32, Timeouts>;

/// Sweeps the table repeatedly.
///
/// An expired connection is condemned by one sweep and removed by the next, if no packet has come
/// in the meantime. The time between two sweeps must be far longer than the processing of a packet,
/// so that a CPU that found the flow before it was condemned has updated its time.
#[derive(Debug)]
pub struct Sweeper {
    table: Arc<FlowTable>,
    active: Active,
    sentences: Vec<Sentence>,
}

/// Place of a condemned flow, and its tag if nothing has happened to it.
#[derive(Debug)]
struct Sentence {
    place: Place,
    tag: Tag,
}

type Entry<'a> = Hit<&'a SharedLine>;

/// A sweep.
struct Sweep<'a> {
    table: SharedTable<'a>,
    now: u32,
    /// By backend id: idle ticks by state, or None to remove its connections.
    limits: Vec<Option<IdleLimits>>,
    search: &'a Search,
    last_hop: Hop,
    tallies: Vec<Tally>,
    flow_counts: FlowCounts,
}

/// Maximum idle ticks of connections by state.
#[derive(Clone, Copy)]
struct IdleLimits([u32; 4]);

/// Number of a backend's connections.
#[derive(Clone, Copy, Default)]
struct Tally {
    active: u64,
    known: u64,
}

impl Sweeper {
    #[must_use]
    pub fn new(table: Arc<FlowTable>, active: Active) -> Self {
        Self { table, active, sentences: Vec::new() }
    }

    /// Sweeps the whole table once, and corrects the program's counters. `now` is the time of
    /// `expiry`; later connections are not subject to it.
    pub fn sweep(&mut self, now: u32, expiry: &Expiry, search: &Search) -> FlowCounts {
        let table = self.table.table();
        let before = self.active.counts();
        let mut sweep = Sweep::new(table, now, expiry, search);
        for sentence in self.sentences.drain(..) {
            sweep.execute(&sentence);
        }
        let mut recovering = Recovering::begin(table);
        for flow in table.flows() {
            recovering.see(flow);
            let condemned = sweep.judge(flow);
            self.sentences.extend(condemned.map(|tag| Sentence { place: flow.place, tag }));
        }
        recovering.finish();
        let found = sweep.tallies.iter().map(|tally| tally.active);
        self.active.correct(&before, found.chain(iter::repeat(0)));
        sweep.finish()
    }
}

impl<'a> Sweep<'a> {
    fn new(table: SharedTable<'a>, now: u32, expiry: &Expiry, search: &'a Search) -> Self {
        let ids = expiry.keys().max().map_or(0, |last| *last as usize + 1);
        let mut limits = vec![None; ids];
        for (id, timeouts) in expiry {
            if let Some(place) = limits.get_mut(*id as usize) {
                *place = Some(IdleLimits::of(timeouts));
            }
        }
        let tallies = vec![Tally::default(); ids];
        let (last_hop, flow_counts) = Default::default();
        Self { table, now, limits, search, last_hop, tallies, flow_counts }
    }

    /// Removes a condemned connection, or revives it if a packet has come.
    fn execute(&mut self, Sentence { place, tag }: &Sentence) {
        let Some(flow) = at(self.table, *place).filter(|found| found.tag == *tag) else { return };
        if !self.is_overdue(flow) {
            revive(self.table, flow.place, flow.tag);
        } else if self.remove(flow) {
            self.flow_counts.expired += 1;
        }
    }

    /// Checks a flow. If its connection is condemned, returns its new tag.
    fn judge(&mut self, flow: Entry<'a>) -> Option<Tag> {
        if self.limits(flow).is_none() {
            // Its backend is gone, so that no packet must revive it.
            let is_known_to_us = ticks::between(self.began(flow), self.now) > 0;
            self.flow_counts.expired += u64::from(is_known_to_us && self.remove(flow));
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
        if let Some(partner) = partner.filter(|partner| !partner.tag.is_condemned()) {
            condemn(partner)?;
        }
        if flow.tag.is_condemned() { Some(flow.tag) } else { condemn(flow) }
    }

    /// Returns true if neither entry of a connection has seen a packet for too long.
    fn is_overdue(&self, flow: Entry<'a>) -> bool {
        let Some(limits) = self.limits(flow) else { return true };
        let limit = limits.of_state(flow.state());
        let is_idle = |flow: Entry<'_>| ticks::between(flow.line.seen(), self.now) > limit;
        is_idle(flow) && self.partner(flow).is_none_or(is_idle)
    }

    /// Returns the other entry, unless this one is single on purpose.
    fn partner(&self, flow: Entry<'a>) -> Option<Entry<'a>> {
        if flow.tag.marks() & marks::QUARANTINED != 0 {
            return None;
        }
        partner(self.table, flow)
    }

    /// Returns the start of a connection.
    fn began(&self, flow: Entry<'a>) -> u32 {
        let to_backend = match flow.direction() {
            Direction::ToBackend => Some(flow),
            Direction::ToClient => self.partner(flow),
        };
        let found = to_backend.and_then(|entry| Some((entry.tag.marks(), entry.snapshot()?)));
        found.map_or_else(|| flow.line.seen(), |(marks, entry)| entry.began(marks))
    }

    fn remove(&self, flow: Entry<'a>) -> bool {
        remove(self.table, flow.place, flow.tag, flow.tag.freed(), self.now)
    }

    fn limits(&self, flow: Entry<'_>) -> Option<IdleLimits> {
        self.limits.get(flow.line.backend() as usize).copied().flatten()
    }

    /// Counts each connection once, by its entry towards the backend.
    fn count(&mut self, flow: Entry<'_>) {
        self.flow_counts.entries += 1;
        if flow.direction() == Direction::ToClient {
            self.flow_counts.cooling += u64::from(flow.tag.marks() & marks::QUARANTINED != 0);
            return;
        }
        let state = flow.state();
        self.flow_counts.states.count(state);
        self.look_at_hop(flow);
        let Some(tally) = self.tallies.get_mut(flow.line.backend() as usize) else { return };
        tally.known += 1;
        tally.active += u64::from(state != State::Closed);
    }

    /// Records the next hop of a client, and the move that applies to it, if any.
    fn look_at_hop(&mut self, flow: Entry<'_>) {
        let (hop, client) = (flow.line.client(), flow.line.key().src());
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
            let (tag, place) = (flow.tag.word(), flow.place.0);
            self.flow_counts.moved.push(ClientHop { tag, hop: to, place, reserved: 0 });
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
        let known = (0..).zip(self.tallies.iter().map(|tally| tally.known));
        FlowCounts { known: known.filter(|(_, count)| *count > 0).collect(), ..self.flow_counts }
    }
}

impl IdleLimits {
    fn of(timeouts: &Timeouts) -> Self {
        let Timeouts { half_open, established, closing, closed } = *timeouts;
        Self([half_open, established, closing, closed].map(|limit| {
            let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
            u32::try_from(nanos >> 20).unwrap_or(u32::MAX)
        }))
    }

    const fn of_state(self, state: State) -> u32 {
        self.0[match state {
            State::HalfOpen => 0,
            State::Answered | State::Established => 1,
            State::Closing => 2,
            State::Closed => 3,
        }]
    }
}

impl States {
    pub fn count(&mut self, state: State) {
        match state {
            State::HalfOpen => self.half_open += 1,
            State::Answered => self.answered += 1,
            State::Established => self.established += 1,
            State::Closing => self.closing += 1,
            State::Closed => self.closed += 1,
        }
    }
}
