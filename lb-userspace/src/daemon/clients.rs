//! Ways back to clients. A connection's is learnt from its handshake. Afterwards it changes only if the
//! kernel's routes and neighbours say so: when a client or a router gets another MAC address, or when a
//! client's packets begin to come another way that is the kernel's own way to it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use lb_common::{
    backend::Hop,
    event::{ClientHop, Event},
};

use super::Daemon;
use crate::{dataplane::Move, neighbours::Resolution};

/// Hops that are followed, and addresses that are asked for because packets came another way; each.
const MOST: usize = 256;

/// How long the kernel has to say that packets may come another way.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of ways back to clients.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// By a client that each hop leads to.
    followed: HashMap<Ipv4Addr, Followed>,
    /// Clients whose packets came by these hops.
    asked: HashMap<Ipv4Addr, Asked>,
    /// What the flow table does not all follow yet.
    moves: Vec<Move>,
}

#[derive(Debug)]
struct Followed {
    /// As connections have it.
    hop: Hop,
    /// As the kernel has it, if it has said so.
    resolved: Option<Hop>,
}

#[derive(Debug)]
struct Asked {
    hop: Hop,
    since: Instant,
}

impl Clients {
    /// What the next sweep is to look for.
    pub(super) fn moves(&self) -> Vec<Move> {
        self.moves.clone()
    }

    /// The kernel's way to a client, as it is now. Returns whether connections are to follow.
    fn resolve(&mut self, client: Ipv4Addr, hop: Hop) -> bool {
        let before = self.moves.len();
        if let Some(followed) = self.followed.get_mut(&client) {
            let former = followed.resolved.replace(hop);
            if former == Some(followed.hop) && followed.hop != hop {
                // On the same interface it is the neighbour that has another MAC address, for all whom
                // it leads to.
                let is_neighbour = followed.hop.ifindex() == hop.ifindex();
                let client = (!is_neighbour).then_some(client.octets());
                self.moves.push(Move { from: Some(followed.hop), client, to: hop });
                followed.hop = hop;
            }
        }
        if self.asked.get(&client).is_some_and(|asked| asked.hop == hop) {
            self.moves.push(Move { from: None, client: Some(client.octets()), to: hop });
        }
        self.moves.len() > before
    }
}

impl Daemon {
    /// A client's packets come by another hop than its connection's replies take.
    pub(super) fn on_client_moved(&mut self, event: &Event) {
        let client = Ipv4Addr::from(event.client);
        let asked = &mut self.clients.asked;
        if asked.contains_key(&client) || asked.len() >= MOST {
            return;
        }
        log::debug!("packets of {client} come another way");
        asked.insert(client, Asked { hop: event.hop, since: Instant::now() });
        self.neighbours.watch(client.into());
        self.neighbours.tell(client.into());
    }

    /// What the kernel says of the way to an address, which may be a client's.
    pub(super) fn on_way_to_client(&mut self, address: IpAddr, resolution: &Resolution) {
        let IpAddr::V4(client) = address else { return };
        let Ok(hop) = self.way(resolution) else { return };
        if self.clients.resolve(client, hop) {
            log::info!("replies to {client} go by another next hop");
            self.walks.hurry();
        }
    }

    /// Follows the hops that a sweep has found, and writes what it has found to be written.
    pub(super) fn follow_clients(&mut self, hops: &HashMap<Hop, [u8; 4]>, moved: &[ClientHop]) {
        if let Err(error) = self.dataplane.write_client_hops(moved) {
            log::error!("replies go on by the former next hops: {error:#}");
        }
        if moved.is_empty() {
            self.clients.moves.clear();
        } else {
            // Entries that changed just then are found again.
            self.walks.hurry();
        }
        self.forget_clients(hops);
        for (hop, client) in hops {
            let clients = &mut self.clients;
            let is_followed = clients.followed.values().any(|followed| followed.hop == *hop);
            let client = Ipv4Addr::from(*client);
            let has_room = clients.followed.len() < MOST;
            if is_followed || !has_room || clients.followed.contains_key(&client) {
                continue;
            }
            clients.followed.insert(client, Followed { hop: *hop, resolved: None });
            self.neighbours.watch(client.into());
            self.neighbours.tell(client.into());
        }
    }

    /// Forgets hops that no connection has any more, and questions that the kernel has not said yes to.
    fn forget_clients(&mut self, hops: &HashMap<Hop, [u8; 4]>) {
        let Self { clients, neighbours, .. } = self;
        let is_pending = |hop: &Hop| clients.moves.iter().any(|one| one.to == *hop);
        clients.followed.retain(|client, followed| {
            let stays = hops.contains_key(&followed.hop) || is_pending(&followed.hop);
            if !stays {
                neighbours.forget((*client).into());
            }
            stays
        });
        clients.asked.retain(|client, asked| {
            let stays = asked.since.elapsed() < PATIENCE;
            if !stays {
                neighbours.forget((*client).into());
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

    fn hop(mac: u8, ifindex: u32) -> Hop {
        Hop::new([2, 0, 0, 0, 0, mac], [4; 6], ifindex)
    }

    fn following(learnt: Hop) -> Clients {
        let followed = [(CLIENT, Followed { hop: learnt, resolved: None })].into();
        Clients { followed, ..Clients::default() }
    }

    #[test]
    fn a_neighbours_new_mac_is_followed_by_all() {
        let mut clients = following(hop(1, 3));
        assert!(!clients.resolve(CLIENT, hop(1, 3)));
        assert!(clients.resolve(CLIENT, hop(2, 3)));
        assert_eq!(clients.moves(), [Move { from: Some(hop(1, 3)), client: None, to: hop(2, 3) }]);
        assert!(clients.resolve(CLIENT, hop(1, 3)), "and back");
    }

    #[test]
    fn a_route_by_another_interface_is_followed_by_its_client() {
        let mut clients = following(hop(1, 3));
        clients.resolve(CLIENT, hop(1, 3));
        assert!(clients.resolve(CLIENT, hop(9, 4)));
        let [only] = clients.moves()[..] else { panic!("one move") };
        assert_eq!(only.client, Some(CLIENT.octets()));
    }

    #[test]
    fn a_way_that_was_never_the_kernels_stays() {
        let mut clients = following(hop(7, 3));
        assert!(!clients.resolve(CLIENT, hop(1, 3)));
        assert!(!clients.resolve(CLIENT, hop(2, 3)));
    }

    #[test]
    fn packets_by_another_way_are_believed_if_it_is_the_kernels() {
        let asked = Asked { hop: hop(2, 3), since: Instant::now() };
        let mut clients = Clients { asked: [(CLIENT, asked)].into(), ..Clients::default() };
        assert!(!clients.resolve(CLIENT, hop(1, 3)), "a spoofed one");
        assert!(clients.resolve(CLIENT, hop(2, 3)));
    }
}
