//! Keeps what is told of the watched addresses true.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rtnetlink::{
    Handle,
    packet_route::{
        RouteNetlinkMessage,
        neighbour::{NeighbourFlags, NeighbourState},
    },
};
use tokio::{
    sync::{mpsc, watch},
    time,
};

use super::{
    NetworkEvent,
    feed::Feed,
    route,
    table::{Table, link_events},
    watched::{ASK_AGAIN, Watched},
};
use crate::netlink;

/// How long to wait before all is read anew.
const RECOVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Follower {
    feed: Feed,
    wanted: watch::Receiver<HashSet<IpAddr>>,
    events: mpsc::Sender<NetworkEvent>,
    requests: Handle,
    table: Table,
    watched: HashMap<IpAddr, Watched>,
}

impl Follower {
    pub(super) fn start(
        wanted: watch::Receiver<HashSet<IpAddr>>,
        events: mpsc::Sender<NetworkEvent>,
    ) -> Result<Self> {
        Ok(Self {
            feed: Feed::open()?,
            wanted,
            events,
            requests: connect()?,
            table: Table::default(),
            watched: HashMap::new(),
        })
    }

    /// Goes on until nobody listens any more.
    pub(super) async fn run(mut self) {
        while let Err(error) = self.follow().await {
            log::warn!("reading the kernel's network anew: {error:#}");

            time::sleep(RECOVERY).await;
            if let Err(error) = self.reconnect() {
                log::error!("{error:#}");
            }
        }
    }

    fn reconnect(&mut self) -> Result<()> {
        self.feed = self.feed.reopen()?;
        self.requests = connect()?;
        Ok(())
    }

    async fn follow(&mut self) -> Result<()> {
        let known =
            Table::dump(&self.requests).await.context("cannot read the kernel's network")?;
        let before = std::mem::replace(&mut self.table, known);
        tell(&self.events, link_events(before.links(), self.table.links())).await;
        self.look_up_routes().await;
        let mut ticks = time::interval(ASK_AGAIN / 2);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            self.resolve().await;
            tokio::select! {
                changes = self.feed.next() => self.apply(changes?).await,
                wanted = self.wanted.changed() => match wanted {
                    Ok(()) => self.rewatch().await,
                    Err(_) => return Ok(()),
                },
                () = self.events.closed() => return Ok(()),
                _ = ticks.tick() => {}
            }
        }
    }

    async fn apply(&mut self, changes: Vec<RouteNetlinkMessage>) {
        let before = self.table.links().clone();
        let mut rerouted = false;
        for change in changes {
            rerouted |= self.table.apply(change);
        }
        if rerouted {
            tell(&self.events, link_events(&before, self.table.links())).await;
            self.look_up_routes().await;
        }
    }

    async fn rewatch(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.watched.retain(|address, _| wanted.contains(address));
        for address in wanted {
            if let Entry::Vacant(entry) = self.watched.entry(address) {
                let route = route::look_up(&self.requests, address).await;
                entry.insert(Watched::new(route));
            }
        }
    }

    async fn look_up_routes(&mut self) {
        for (address, watched) in &mut self.watched {
            watched.route = route::look_up(&self.requests, *address).await;
        }
    }

    /// Has the kernel ask for the neighbours that are missing, and tells what is new.
    async fn resolve(&mut self) {
        let now = Instant::now();
        for (&address, watched) in &mut self.watched {
            if let Some((ifindex, neighbour)) = watched.question(&self.table, now) {
                ask(&self.requests, ifindex, neighbour).await;
            }
            if let Some(resolution) = watched.news(&self.table, now) {
                let event = NetworkEvent::NextHop { address, resolution };
                tell(&self.events, [event]).await;
            }
        }
    }
}

fn connect() -> Result<Handle> {
    netlink::connect().context("cannot open a netlink socket")
}

/// Has the kernel resolve a neighbour, or check one that it has not heard of lately. To "use" an
/// entry is what the kernel does itself when it sends a packet.
async fn ask(netlink: &Handle, ifindex: u32, neighbour: IpAddr) {
    let used = netlink
        .neighbours()
        .add(ifindex, neighbour)
        .state(NeighbourState::None)
        .flags(NeighbourFlags::Use)
        .replace();
    if let Err(error) = used.execute().await {
        log::debug!("cannot have {neighbour} resolved: {error}");
    }
}

async fn tell(
    listener: &mpsc::Sender<NetworkEvent>,
    news: impl IntoIterator<Item = NetworkEvent, IntoIter: Send>,
) {
    for event in news {
        if listener.send(event).await.is_err() {
            return;
        }
    }
}
