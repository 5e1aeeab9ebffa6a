use std::{
    collections::HashMap,
    iter,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use lb_common::{
    flow::{Direction, Flow, FlowKey, ticks},
    table::{Hit, SharedLine, SharedTable, peek},
};

use super::{Connection, ConnectionState, Counts, Filter};
use crate::dataplane::{self, FlowTable};

/// The services that connections belong to, by backend id.
pub type Directory = HashMap<u32, String>;

/// The flow table, and the names for what is in it.
#[derive(Clone, Debug)]
pub struct Listing {
    flows: Arc<FlowTable>,
    directory: Directory,
}

impl Listing {
    #[must_use]
    pub fn new(flows: Arc<FlowTable>, directory: Directory) -> Self {
        Self { flows, directory }
    }

    /// Tells the wanted connections one by one, until it is told to stop. Takes a while, and stops
    /// nobody: a connection that comes or goes meanwhile is told of or not.
    pub fn for_each(
        &self,
        filter: &Filter,
        tell: impl FnMut(Connection) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.search(filter).for_each(tell)
    }

    /// How many connections are wanted.
    #[must_use]
    pub fn count(&self, filter: &Filter) -> Counts {
        self.search(filter).count()
    }

    fn search<'a>(&'a self, filter: &'a Filter) -> Search<'a> {
        let (table, directory) = (self.flows.table(), &self.directory);
        Search { table, directory, now: dataplane::now(), filter }
    }
}

/// How many connections are looked at together. The other entry of each lies anywhere in memory,
/// and several of them are fetched in the time of one if nothing else is done between.
const BATCH: usize = 64;

/// A look for connections, in any table at any time.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) table: SharedTable<'a>,
    pub(super) directory: &'a Directory,
    pub(super) now: u32,
    pub(super) filter: &'a Filter,
}

/// A connection that is wanted, unless for the time that it has been idle.
struct Candidate<'a> {
    service: Option<&'a str>,
    state: ConnectionState,
    /// When it began, in ticks.
    began: u32,
    /// The entry towards the backend.
    flow: Flow,
}

impl<'a> Search<'a> {
    /// See [`Listing::for_each`].
    pub(super) fn for_each(
        self,
        mut tell: impl FnMut(Connection) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut candidates = self.candidates();
        let batches = iter::from_fn(|| {
            let batch: Vec<_> = candidates.by_ref().take(BATCH).collect();
            (!batch.is_empty()).then_some(batch)
        });
        batches
            .flat_map(|batch| self.with_idle(batch))
            .filter(|(_, idle)| self.filter.admits_idle(*idle))
            .take(self.limit())
            .try_for_each(|(candidate, idle)| tell(self.connection(&candidate, idle)))
    }

    /// See [`Listing::count`].
    pub(super) fn count(self) -> Counts {
        let mut counts = Counts::default();
        let is_wanted = |candidate: &Candidate<'_>| {
            // The other entry is in the way of a quick look, so it is only asked if it matters.
            self.filter.idle_over.is_none() || self.filter.admits_idle(self.idle(&candidate.flow))
        };
        for candidate in self.candidates().filter(is_wanted).take(self.limit()) {
            counts.count(candidate.state);
        }
        counts
    }

    fn limit(self) -> usize {
        let limit = self.filter.limit.map(usize::try_from);
        limit.and_then(Result::ok).unwrap_or(usize::MAX)
    }

    /// Each connection once, by its entry towards the backend.
    fn candidates(self) -> impl Iterator<Item = Candidate<'a>> {
        let entries = self.table.flows().filter(|hit| hit.direction() == Direction::ToBackend);
        entries.filter_map(move |hit| self.candidate(hit))
    }

    fn candidate(self, hit: Hit<&SharedLine>) -> Option<Candidate<'a>> {
        let state = ConnectionState::of(hit.tag.marks());
        if !self.filter.admits_state(state) {
            return None;
        }
        let flow = hit.snapshot()?;
        let service = self.directory.get(&flow.backend).map(String::as_str);
        let is_wanted = self.filter.admits_owner(service, destination(&flow.rewrite.to()))
            && self.filter.admits_client(source(&flow.key()));
        let began = flow.began(hit.tag.marks());
        is_wanted.then_some(Candidate { service, state, began, flow })
    }

    fn with_idle(
        self,
        batch: Vec<Candidate<'a>>,
    ) -> impl Iterator<Item = (Candidate<'a>, Duration)> {
        let idle: Vec<_> = batch.iter().map(|candidate| self.idle(&candidate.flow)).collect();
        iter::zip(batch, idle)
    }

    /// Since the last packet of either side.
    fn idle(self, flow: &Flow) -> Duration {
        let back = peek(self.table, &flow.partner()).and_then(|hit| hit.snapshot());
        let back = back.filter(|back| back.partner() == flow.key());
        let there = elapsed(flow.seen, self.now);
        back.map_or(there, |back| there.min(elapsed(back.seen, self.now)))
    }

    fn connection(self, candidate: &Candidate<'_>, idle: Duration) -> Connection {
        let Candidate { service, state, began, flow } = candidate;
        let (inside, outside) = (flow.key(), flow.rewrite.to());
        Connection {
            service: service.map(ToOwned::to_owned),
            client: source(&inside),
            vip: destination(&inside),
            source: source(&outside),
            backend: destination(&outside),
            state: *state,
            age_seconds: seconds(elapsed(*began, self.now)),
            idle_seconds: seconds(idle),
        }
    }
}

fn elapsed(since: u32, now: u32) -> Duration {
    Duration::from_nanos(ticks::nanos_between(since, now))
}

/// To the millisecond, which is what the table's clock tells.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

fn source(key: &FlowKey) -> SocketAddr {
    SocketAddr::new(IpAddr::from(key.src()), u16::from_be_bytes(key.src_port()))
}

fn destination(key: &FlowKey) -> SocketAddr {
    SocketAddr::new(IpAddr::from(key.dst()), u16::from_be_bytes(key.dst_port()))
}
