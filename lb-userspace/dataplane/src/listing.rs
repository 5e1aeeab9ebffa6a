//! Connections of the flow table, named and filtered.

mod clients;
mod first;
mod kill;
mod swept;

use std::{
    collections::HashMap,
    iter,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use lb_common::{
    flow::{Direction, FlowKey, flags_seen, ticks},
    stats::Count,
    table::{Hit, SharedEntry, SharedTable, Snapshot, partner, peek},
};
use lb_model::connections::{Account, Clients, Connection, ConnectionState, Counts, Filter, Order};

pub use self::{
    kill::Killed,
    swept::{Swept, Wanted},
};
use crate::{Accounts, FlowTable};

/// Service names by backend id.
pub type Directory = HashMap<u32, String>;

/// The flow table and the names of its services.
#[derive(Clone, Debug)]
pub struct Listing {
    flows: Arc<FlowTable>,
    directory: Directory,
    swept: Arc<Swept>,
}

impl Listing {
    #[must_use]
    pub fn new(flows: Arc<FlowTable>, directory: Directory) -> Self {
        Self { flows, directory, swept: Arc::default() }
    }

    /// Returns true if packets and bytes of each connection are counted.
    #[must_use]
    pub fn is_accounting(&self) -> bool {
        self.flows.accounts().is_some()
    }

    /// Calls `tell` for each matching connection until it breaks. Takes a while, without locking: a
    /// connection that is opened or closed meanwhile may or may not be included.
    pub fn for_each(
        &self,
        filter: &Filter,
        tell: impl FnMut(Connection) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.search(filter).for_each(tell)
    }

    /// Returns the connection of a client's packets with this tuple.
    #[must_use]
    pub fn connection(&self, key: &FlowKey) -> Option<Connection> {
        let filter = Filter::default();
        let search = self.search(&filter);
        let hit = peek(search.table, key).filter(|hit| hit.direction() == Direction::ToBackend)?;
        let candidate = search.candidate(hit)?;
        let idle = search.idle(&candidate.flow);
        Some(search.connection(&candidate, idle))
    }

    /// Returns the first `limit` connections in this order, of which no more are in memory at any time.
    #[must_use]
    pub fn first(&self, filter: &Filter, order: Order, limit: usize) -> Vec<Connection> {
        self.search(filter).first(order, limit)
    }

    /// Returns the clients with the most connections. Takes four bytes for each matching connection.
    #[must_use]
    pub fn clients(&self, filter: &Filter, limit: usize) -> Clients {
        self.search(filter).clients(limit)
    }

    /// Removes the matching connections, except closed ones, whose source ports are cooling down. Calls
    /// `tell` for each until it breaks.
    pub fn kill(&self, filter: &Filter, tell: impl FnMut(Killed) -> ControlFlow<()>) {
        self.search(filter).kill(tell);
    }

    /// Counts the matching connections.
    #[must_use]
    pub fn count(&self, filter: &Filter) -> Counts {
        self.search(filter).count()
    }

    fn search<'a>(&'a self, filter: &'a Filter) -> Search<'a> {
        let (table, directory) = (self.flows.table(), &self.directory);
        let (accounts, swept) = (self.flows.accounts(), &*self.swept);
        Search { table, accounts, directory, now: crate::now(), filter, swept }
    }
}

/// Connections that are handled per batch. The reverse entry of each lies anywhere in memory;
/// back-to-back loads of several let the cache misses overlap.
const BATCH: usize = 64;

/// A search for connections in any table at any time.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) table: SharedTable<'a>,
    pub(super) accounts: Option<&'a Accounts>,
    pub(super) directory: &'a Directory,
    pub(super) now: u32,
    pub(super) filter: &'a Filter,
    pub(super) swept: &'a Swept,
}

/// A connection that matches, its idle time aside.
struct Candidate<'a> {
    service: Option<&'a str>,
    state: ConnectionState,
    /// Time of the first packet, in ticks.
    began: u32,
    /// The entry in the direction of the backend.
    hit: Hit<&'a SharedEntry>,
    flow: Snapshot,
}

impl<'a> Search<'a> {
    /// See [`Listing::for_each`].
    pub(super) fn for_each(
        self,
        mut tell: impl FnMut(Connection) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.matching()
            .take(self.limit())
            .try_for_each(|(candidate, idle)| tell(self.connection(&candidate, idle)))
    }

    /// Returns all matching connections with their idle times.
    fn matching(self) -> impl Iterator<Item = (Candidate<'a>, Duration)> {
        let mut candidates = self.candidates();
        let batches = iter::from_fn(move || {
            let batch: Vec<_> = candidates.by_ref().take(BATCH).collect();
            (!batch.is_empty()).then_some(batch)
        });
        let all = batches.flat_map(move |batch| self.with_idle(batch));
        all.filter(move |(_, idle)| self.filter.admits_idle(*idle))
    }

    /// See [`Listing::count`].
    pub(super) fn count(self) -> Counts {
        let mut counts = Counts::default();
        for candidate in self.matching_without_idle().take(self.limit()) {
            counts.count(candidate.state);
        }
        counts
    }

    /// Returns all matching connections. Reading the reverse entry is slow, so it is only read if it
    /// matters.
    fn matching_without_idle(self) -> impl Iterator<Item = Candidate<'a>> {
        let any_idle = self.filter.idle_over.is_none();
        self.candidates()
            .filter(move |one| any_idle || self.filter.admits_idle(self.idle(&one.flow)))
    }

    fn limit(self) -> usize {
        let limit = self.filter.limit.map(usize::try_from);
        limit.and_then(Result::ok).unwrap_or(usize::MAX)
    }

    /// Returns each connection once, by its entry in the direction of the backend.
    fn candidates(self) -> impl Iterator<Item = Candidate<'a>> {
        let flows = self.table.flows().take_while(|hit| self.swept.pass(hit.index.0));
        let entries = flows.filter(|hit| hit.direction() == Direction::ToBackend);
        entries.filter_map(move |hit| self.candidate(hit))
    }

    fn candidate(self, hit: Hit<&'a SharedEntry>) -> Option<Candidate<'a>> {
        let state = ConnectionState::of(hit.tag.flags_seen());
        if !self.filter.admits_state(state) {
            return None;
        }
        let flow = hit.snapshot(self.table)?;
        let service = self.directory.get(&flow.flow.pair.backend()).map(String::as_str);
        let is_wanted = self.filter.admits_owner(service, destination(&flow.to))
            && self.filter.admits_client(source(&flow.key));
        let began = flow.flow.began(hit.tag.flags_seen());
        is_wanted.then_some(Candidate { service, state, began, hit, flow })
    }

    fn with_idle(
        self,
        batch: Vec<Candidate<'a>>,
    ) -> impl Iterator<Item = (Candidate<'a>, Duration)> {
        let idle: Vec<_> = batch.iter().map(|candidate| self.idle(&candidate.flow)).collect();
        iter::zip(batch, idle)
    }

    /// Time since the last packet of either side.
    fn idle(self, flow: &Snapshot) -> Duration {
        let back = peek(self.table, &flow.partner()).and_then(|hit| hit.snapshot(self.table));
        let back = back.filter(|back| back.flow.pair.is_same(flow.flow.pair));
        let there = elapsed(flow.flow.last_seen, self.now);
        back.map_or(there, |back| there.min(elapsed(back.flow.last_seen, self.now)))
    }

    fn connection(self, candidate: &Candidate<'_>, idle: Duration) -> Connection {
        let Candidate { service, state, began, flow, .. } = candidate;
        let (inside, outside) = (flow.key, flow.to);
        Connection {
            service: service.map(ToOwned::to_owned),
            client: source(&inside),
            vip: destination(&inside),
            source: source(&outside),
            backend: destination(&outside),
            state: *state,
            age_seconds: seconds(Duration::from_nanos(ticks::nanos_since(*began, self.now))),
            idle_seconds: seconds(idle),
            account: self.account(candidate),
        }
    }

    /// Returns the traffic of a connection. What an earlier one has left in the place of an answer that has not
    /// come is not its own.
    fn account(self, candidate: &Candidate<'_>) -> Option<Account> {
        let accounts = self.accounts?;
        let inbound = accounts.of(candidate.hit.index);
        let is_answered = flags_seen::has_answer(candidate.hit.tag.flags_seen());
        let back = partner(self.table, candidate.hit).filter(|_| is_answered);
        let outbound = back.map_or_else(Count::default, |back| accounts.of(back.index));
        Some(Account {
            packets_in: inbound.packets,
            packets_out: outbound.packets,
            bytes_in: inbound.bytes,
            bytes_out: outbound.bytes,
        })
    }
}

fn elapsed(since: u32, now: u32) -> Duration {
    Duration::from_nanos(ticks::nanos_between(since, now))
}

/// Seconds rounded to milliseconds, the resolution of the table's clock.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

fn source(key: &FlowKey) -> SocketAddr {
    SocketAddr::new(IpAddr::from(key.src()), u16::from_be_bytes(key.src_port()))
}

fn destination(key: &FlowKey) -> SocketAddr {
    SocketAddr::new(IpAddr::from(key.dst()), u16::from_be_bytes(key.dst_port()))
}

#[cfg(test)]
mod tests;
