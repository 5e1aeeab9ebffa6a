use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use lb_common::{
    flow::{Direction, Flow, FlowKey, ticks},
    table::{Hit, Line as _, SharedLine, SharedTable, partner},
};

use super::{Connection, Filter};
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
        for_each(self.flows.table(), &self.directory, dataplane::now(), filter, tell)
    }
}

/// As [`Listing::for_each`], in any table at any time.
pub(super) fn for_each(
    table: SharedTable<'_>,
    directory: &Directory,
    now: u32,
    filter: &Filter,
    mut tell: impl FnMut(Connection) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut left = filter.limit.unwrap_or(u64::MAX);
    // Each connection once, by its entry towards the backend.
    let to_backend = table.flows().filter(|hit| hit.direction() == Direction::ToBackend);
    for hit in to_backend {
        if left == 0 {
            break;
        }
        let Some(connection) = connection(table, hit, directory, now, filter) else { continue };
        left -= 1;
        tell(connection)?;
    }
    ControlFlow::Continue(())
}

/// The connection of this entry, if it is wanted and still there.
fn connection(
    table: SharedTable<'_>,
    hit: Hit<&SharedLine>,
    directory: &Directory,
    now: u32,
    filter: &Filter,
) -> Option<Connection> {
    let state = hit.state().into();
    if !filter.admits_state(state) {
        return None;
    }
    let flow = hit.snapshot()?;
    let (inside, outside) = (flow.key(), flow.rewrite.to());
    let backend = destination(&outside);
    let service = directory.get(&flow.backend).map(String::as_str);
    let client = source(&inside);
    if !filter.admits_owner(service, backend) || !filter.admits_client(client) {
        return None;
    }
    let idle = idle(table, hit, &flow, now);
    if !filter.admits_idle(idle) {
        return None;
    }
    Some(Connection {
        service: service.map(ToOwned::to_owned),
        client,
        vip: destination(&inside),
        source: source(&outside),
        backend,
        state,
        age_seconds: seconds(elapsed(flow.born, now)),
        idle_seconds: seconds(idle),
    })
}

/// Since the last packet of either side.
fn idle(table: SharedTable<'_>, hit: Hit<&SharedLine>, flow: &Flow, now: u32) -> Duration {
    let there = elapsed(flow.seen, now);
    let back = partner(table, hit).map(|partner| elapsed(partner.line.seen(), now));
    back.map_or(there, |back| back.min(there))
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
