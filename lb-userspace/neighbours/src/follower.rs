//! Keeps the resolutions of the watched addresses up to date.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, stream};
use rtnetlink::{Handle, packet_route::RouteNetlinkMessage};
use tokio::{sync::mpsc, time};

use super::{
    NetworkEvent, ask,
    feed::Feed,
    hops, route,
    table::{Effect, Table, link_events},
    watch_requests::{WatchRequest, WatchRequests},
    watched::Watched,
};
use lb_host::netlink;

/// Delay before the whole state is read again.
const RECOVERY: Duration = Duration::from_millis(100);

/// Timeout of a batch of requests to the kernel.
const LONGEST: Duration = Duration::from_secs(3);

/// Number of concurrent route lookups.
const LOOK_UPS: usize = 64;

#[derive(Debug)]
pub(super) struct Follower {
    feed: Feed,
    watch_requests: WatchRequests,
    events: mpsc::Sender<NetworkEvent>,
    requests: Handle,
    table: Table,
    watched: Watched,
}

impl Follower {
    pub(super) fn start(
        watch_requests: WatchRequests,
        events: mpsc::Sender<NetworkEvent>,
    ) -> Result<Self> {
        Ok(Self {
            feed: Feed::open()?,
            watch_requests,
            events,
            requests: connect()?,
            table: Table::default(),
            watched: Watched::default(),
        })
    }

    /// Runs until the receiver of events is dropped.
    pub(super) async fn run(mut self) {
        while let Err(error) = self.follow().await {
            log::warn!("reading the kernel's network again: {error:#}");

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
        self.read_all().await?;
        let mut ticks = time::interval(hops::TICK);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            let news = self.watched.news(&self.table);
            self.tell(news).await;
            tokio::select! {
                changes = self.feed.next() => self.apply(changes?).await,
                requests = self.watch_requests.taken() => bounded(self.handle(requests)).await??,
                _ = ticks.tick(), if !self.watched.is_empty() => bounded(self.tick()).await??,
                () = self.events.closed() => return Ok(()),
            }
        }
    }

    async fn read_all(&mut self) -> Result<()> {
        let dump = bounded(Table::dump(&self.requests)).await?;
        let now = dump.context("cannot read the kernel's network")?;
        let before = std::mem::replace(&mut self.table, now);
        let mut news = link_events(before.links(), self.table.links());
        if before.broadcasts() != self.table.broadcasts() {
            news.push(NetworkEvent::Broadcasts(self.table.broadcasts().all()));
        }
        if before.own() != self.table.own() {
            news.push(NetworkEvent::Own(self.table.own().clone()));
        }
        self.tell(news).await;
        bounded(self.look_up_routes(self.watched.addresses().collect())).await?
    }

    async fn apply(&mut self, changes: Vec<RouteNetlinkMessage>) {
        let mut news = Vec::new();
        let mut own = false;
        for change in changes {
            match self.table.apply(change) {
                Effect::Nothing => {}
                Effect::Neighbour(id) => self.watched.doubt_users_of(id),
                Effect::Routes(net) => self.watched.outdate_within(net),
                Effect::AllRoutes => self.watched.outdate_all(),
                Effect::Own => {
                    own = true;
                    self.watched.outdate_all();
                }
                Effect::Link(event) => {
                    news.push(event);
                    self.watched.doubt_all();
                    self.watched.outdate_all();
                }
            }
        }
        if own {
            news.push(NetworkEvent::Broadcasts(self.table.broadcasts().all()));
            news.push(NetworkEvent::Own(self.table.own().clone()));
        }
        self.tell(news).await;
    }

    async fn handle(&mut self, requests: HashMap<IpAddr, WatchRequest>) -> Result<()> {
        let mut new = BTreeSet::new();
        for (address, request) in requests {
            match request {
                WatchRequest::Forget => self.watched.forget(address),
                WatchRequest::Watch => {
                    if self.watched.watch(address) {
                        new.insert(address);
                    }
                }
            }
        }
        self.look_up_routes(new).await?;
        self.ask().await
    }

    async fn tick(&mut self) -> Result<()> {
        let outdated = self.watched.take_outdated();
        self.look_up_routes(outdated).await?;
        self.ask().await
    }

    /// Addresses whose lookup fails keep their routes: the caller reconnects and looks all up again.
    async fn look_up_routes(&mut self, addresses: BTreeSet<IpAddr>) -> Result<()> {
        let requests = &self.requests;
        let look_up = |address| {
            let requests = requests.clone();
            async move { (address, route::look_up(requests, address).await) }
        };
        let found = stream::iter(addresses).map(look_up).buffer_unordered(LOOK_UPS);
        let mut all = Ok(());
        for (address, route) in found.collect::<Vec<_>>().await {
            match route {
                Ok(route) => self.watched.set_route(address, route),
                Err(error) => all = Err(error).context("cannot look up routes"),
            }
        }
        all
    }

    async fn ask(&mut self) -> Result<()> {
        let questions = self.watched.questions(&self.table, Instant::now());
        ask::put(&self.requests, questions).await.context("cannot probe next hops")
    }

    async fn tell(&self, news: Vec<NetworkEvent>) {
        for event in news {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }
}

async fn bounded<T>(work: impl Future<Output = T>) -> Result<T> {
    time::timeout(LONGEST, work).await.context("the kernel does not answer")
}

fn connect() -> Result<Handle> {
    netlink::connect().context("cannot open a netlink socket")
}
