//! One watched address.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use rtnetlink::packet_route::neighbour::NeighbourState;

use super::{
    NextHop, Resolution,
    route::Route,
    table::{Mac, Table},
};

/// When a neighbour that is not resolved is asked for again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long a neighbour may take to answer before its address is told to be unresolved. The kernel
/// asks three times, a second apart, and fails the neighbour then; this is for when it does not
/// even ask.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(super) struct Watched {
    /// Or why there is none.
    pub(super) route: Result<Route, String>,
    told: Option<Resolution>,
    waiting_since: Option<Instant>,
    asked_at: Option<Instant>,
}

/// Whom a route's frames go to.
enum Finding {
    Known(NextHop),
    /// The neighbour has not answered yet.
    Waiting(String),
    Failed(String),
}

impl Watched {
    pub(super) fn new(route: Result<Route, String>) -> Self {
        Self { route, told: None, waiting_since: None, asked_at: None }
    }

    /// The neighbour, on an interface, that the kernel should be made to resolve now.
    pub(super) fn question(&mut self, table: &Table, now: Instant) -> Option<(u32, IpAddr)> {
        let route = self.route.as_ref().ok()?;
        let link = table.link(route.ifindex)?;
        if !link.up || !needs_asking(table, route) {
            self.asked_at = None;
            return None;
        }
        if self.asked_at.is_some_and(|asked_at| now < asked_at + ASK_AGAIN) {
            return None;
        }
        self.asked_at = Some(now);
        Some((route.ifindex, route.neighbour))
    }

    /// The resolution, if it is another than was told.
    pub(super) fn news(&mut self, table: &Table, now: Instant) -> Option<Resolution> {
        let resolution = self.resolution(table, now)?;
        if self.told.as_ref() == Some(&resolution) {
            return None;
        }
        self.told = Some(resolution.clone());
        Some(resolution)
    }

    fn resolution(&mut self, table: &Table, now: Instant) -> Option<Resolution> {
        match find(table, &self.route) {
            Finding::Known(next_hop) => {
                self.waiting_since = None;
                Some(Resolution::Resolved(next_hop))
            }
            Finding::Failed(reason) => Some(Resolution::Unresolved(reason)),
            Finding::Waiting(reason) => {
                let since = *self.waiting_since.get_or_insert(now);
                (now >= since + PATIENCE).then_some(Resolution::Unresolved(reason))
            }
        }
    }
}

fn needs_asking(table: &Table, route: &Route) -> bool {
    table.neighbour(route.ifindex, route.neighbour).is_none_or(|neighbour| {
        matches!(
            neighbour.state,
            NeighbourState::None | NeighbourState::Failed | NeighbourState::Stale
        )
    })
}

fn find(table: &Table, route: &Result<Route, String>) -> Finding {
    let route = match route {
        Ok(route) => route,
        Err(reason) => return Finding::Failed(reason.clone()),
    };
    let Some(link) = table.link(route.ifindex) else {
        return Finding::Failed(format!("interface {} is gone", route.ifindex));
    };
    if !link.up {
        return Finding::Failed(format!("interface {} is down", link.name));
    }
    let Some(src_mac) = link.mac else {
        return Finding::Failed(format!("interface {} is not Ethernet", link.name));
    };
    match neighbour_mac(table, route) {
        Ok(dst_mac) => Finding::Known(NextHop {
            ifindex: link.ifindex,
            interface: link.name.clone(),
            src_mac,
            dst_mac,
            source: route.source,
        }),
        Err(given_up) => {
            let reason = format!(
                "neighbour {} on {} does not answer {}",
                route.neighbour,
                link.name,
                if route.neighbour.is_ipv4() { "ARP" } else { "neighbour discovery" },
            );
            if given_up { Finding::Failed(reason) } else { Finding::Waiting(reason) }
        }
    }
}

/// Its address, or else whether the kernel has given up asking for it.
fn neighbour_mac(table: &Table, route: &Route) -> Result<Mac, bool> {
    let Some(neighbour) = table.neighbour(route.ifindex, route.neighbour) else {
        return Err(false);
    };
    match neighbour.state {
        NeighbourState::Failed => Err(true),
        NeighbourState::None | NeighbourState::Incomplete => Err(false),
        _ => neighbour.mac.ok_or(false),
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::{
        LinkUnspec,
        packet_route::{
            RouteNetlinkMessage,
            link::{LinkFlags, LinkLayerType},
            neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
        },
    };

    use super::*;

    const ADDRESS: [u8; 4] = [10, 0, 0, 11];
    const THEIRS: Mac = [2, 0, 0, 0, 0, 11];
    const OURS: Mac = [2, 0, 0, 0, 0, 1];
    const IFINDEX: u32 = 3;

    #[test]
    fn a_stale_neighbour_stays_resolved_but_is_asked_for() {
        let now = Instant::now();
        let mut watched = watched();
        assert!(matches!(
            watched.news(&table(NeighbourState::Reachable), now),
            Some(Resolution::Resolved(NextHop { src_mac: OURS, dst_mac: THEIRS, .. }))
        ));
        let stale = table(NeighbourState::Stale);
        assert_eq!(watched.question(&stale, now), Some((IFINDEX, ADDRESS.into())));
        assert_eq!(watched.news(&stale, now), None);
    }

    #[test]
    fn a_missing_neighbour_is_asked_for_every_second() {
        let now = Instant::now();
        let failed = table(NeighbourState::Failed);
        let mut watched = watched();
        assert!(watched.question(&failed, now).is_some());
        assert!(watched.question(&failed, now + ASK_AGAIN / 2).is_none());
        assert!(watched.question(&failed, now + ASK_AGAIN).is_some());
        assert!(
            watched.question(&table(NeighbourState::Incomplete), now + 2 * ASK_AGAIN).is_none()
        );
    }

    #[test]
    fn a_neighbour_may_take_its_time_to_answer() {
        let now = Instant::now();
        let incomplete = table(NeighbourState::Incomplete);
        let mut watched = watched();
        assert_eq!(watched.news(&incomplete, now), None);
        assert_eq!(watched.news(&incomplete, now + PATIENCE / 2), None);
        let silent = "neighbour 10.0.0.11 on eth1 does not answer ARP".to_owned();
        assert_eq!(watched.news(&incomplete, now + PATIENCE), Some(Resolution::Unresolved(silent)));
        let failed = table(NeighbourState::Failed);
        assert_eq!(watched.news(&failed, now + PATIENCE), None);
    }

    fn watched() -> Watched {
        Watched::new(Ok(Route {
            ifindex: IFINDEX,
            neighbour: ADDRESS.into(),
            source: [10, 0, 0, 1].into(),
        }))
    }

    /// One interface that is up, and one neighbour on it.
    fn table(state: NeighbourState) -> Table {
        let mut link =
            LinkUnspec::new_with_name("eth1").index(IFINDEX).address(OURS.to_vec()).up().build();
        link.header.link_layer_type = LinkLayerType::Ether;
        link.header.flags |= LinkFlags::LowerUp;
        let mut neighbour = NeighbourMessage::default();
        neighbour.header.ifindex = IFINDEX;
        neighbour.header.state = state;
        neighbour.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ADDRESS.into())),
            NeighbourAttribute::LinkLayerAddress(THEIRS.to_vec()),
        ];
        let mut table = Table::default();
        table.apply(RouteNetlinkMessage::NewLink(link));
        table.apply(RouteNetlinkMessage::NewNeighbour(neighbour));
        table
    }
}
