use super::*;

const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);
const THIRD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);

fn hop(mac: u8, ifindex: u32) -> Hop {
    Hop::new([2, 0, 0, 0, 0, mac], [4; 6], ifindex)
}

/// Returns a next hop through router 10.0.0.`router`.
fn by(router: u8, hop: Hop) -> Reached {
    Reached { hop, neighbour: [10, 0, 0, router].into() }
}

/// Connections of a fake flow table, and the clock.
struct Network {
    clients: Clients,
    connections: Vec<(Hop, Ipv4Addr)>,
    now: Instant,
    /// Number of watches of each client.
    watched: HashMap<Ipv4Addr, i32>,
    /// The kernel's next hops of clients, as far as reported.
    kernel: HashMap<Ipv4Addr, Reached>,
}

impl Network {
    fn of(connections: &[(Hop, Ipv4Addr)]) -> Self {
        let connections = connections.to_vec();
        let (clients, watched, kernel) = Default::default();
        Self { clients, connections, now: Instant::now(), watched, kernel }
    }

    fn say(&mut self, client: Ipv4Addr, reached: Reached) -> bool {
        self.kernel.insert(client, reached);
        let changes = self.clients.resolve(client, reached, self.now);
        self.carry_out(changes)
    }

    fn carry_out(&mut self, changes: Changes) -> bool {
        let mut is_urgent = changes.is_urgent;
        for client in changes.watched {
            *self.watched.entry(client).or_default() += 1;
            let told = self.kernel.get(&client).copied();
            is_urgent |= told.is_some_and(|reached| self.say(client, reached));
        }
        for client in changes.forgotten {
            let count = self.watched.get_mut(&client).expect("watched");
            *count -= 1;
            assert!(*count >= 0, "{client} is forgotten more often than it was watched");
        }
        is_urgent
    }

    /// Runs a sweep, during which something may happen.
    fn sweep_while(&mut self, happens: impl FnOnce(&mut Self)) -> bool {
        let (search, begun) = (self.clients.search(), self.now);
        let mut flow_counts = FlowCounts::default();
        for (hop, client) in &mut self.connections {
            let octets = client.octets();
            flow_counts.client_hops.entry(*hop).or_insert(octets);
            if search.clients_of.get(hop).is_some_and(|known| !known.contains(&octets)) {
                flow_counts.clients.insert((*hop, octets));
            }
            let wanted = search.moves.wanted(*hop, octets, &mut flow_counts.found);
            *hop = wanted.unwrap_or(*hop);
        }
        self.now += Duration::from_millis(50);
        happens(self);
        self.now += Duration::from_millis(50);
        let changes = self.clients.follow(&search, &flow_counts, begun, self.now);
        self.carry_out(changes)
    }

    fn sweep(&mut self) -> bool {
        self.sweep_while(|_| {})
    }

    /// Sweeps until none is urgent any more.
    fn settle(&mut self) {
        let sweeps = (0..8).take_while(|_| self.sweep()).count();
        assert!(sweeps < 8, "there is always something to do");
    }

    fn hops_of(&self, client: Ipv4Addr) -> Vec<Hop> {
        let its = self.connections.iter().filter(|(_, its)| *its == client);
        its.map(|(hop, _)| *hop).collect()
    }

    fn is_watched(&self, client: Ipv4Addr) -> bool {
        self.watched.get(&client).is_some_and(|count| *count > 0)
    }
}

/// Returns a network whose hop is followed and confirmed by the kernel.
fn following(reached: Reached, clients: &[Ipv4Addr]) -> Network {
    let connections: Vec<_> = clients.iter().map(|client| (reached.hop, *client)).collect();
    let mut network = Network::of(&connections);
    network.sweep();
    assert!(network.is_watched(clients[0]));
    assert!(!network.say(clients[0], reached));
    network
}

#[test]
fn a_neighbours_new_mac_is_followed_by_all_clients_behind_it() {
    let mut network = following(by(1, hop(1, 3)), &[CLIENT, OTHER]);
    assert!(network.say(CLIENT, by(1, hop(2, 3))));
    network.settle();
    assert_eq!([network.hops_of(CLIENT), network.hops_of(OTHER)], [[hop(2, 3)]; 2]);
}

#[test]
fn a_mac_that_changes_and_changes_back_is_followed_and_ends() {
    let mut network = following(by(1, hop(1, 3)), &[CLIENT]);
    assert!(network.say(CLIENT, by(1, hop(2, 3))));
    assert!(network.say(CLIENT, by(1, hop(1, 3))));
    network.settle();
    assert_eq!(network.hops_of(CLIENT), [hop(1, 3)]);
    assert!(network.say(CLIENT, by(1, hop(5, 3))), "the next change is followed too");
    network.settle();
    assert_eq!(network.hops_of(CLIENT), [hop(5, 3)]);
}

#[test]
fn a_mac_that_changes_back_between_two_sweeps_is_followed_and_ends() {
    let mut network = following(by(1, hop(1, 3)), &[CLIENT]);
    assert!(network.say(CLIENT, by(1, hop(2, 3))));
    network.sweep();
    assert_eq!(network.hops_of(CLIENT), [hop(2, 3)]);
    assert!(network.say(CLIENT, by(1, hop(1, 3))));
    network.settle();
    assert_eq!(network.hops_of(CLIENT), [hop(1, 3)]);
}

#[test]
fn changes_during_a_sweep_are_left_to_the_next() {
    let mut network = following(by(1, hop(1, 3)), &[CLIENT]);
    let is_urgent = network.sweep_while(|network| {
        assert!(network.say(CLIENT, by(1, hop(2, 3))));
    });
    assert!(is_urgent);
    network.settle();
    assert_eq!(network.hops_of(CLIENT), [hop(2, 3)]);
    assert!(network.say(CLIENT, by(1, hop(3, 3))), "and it is followed still");
}

#[test]
fn a_route_by_another_router_is_followed_by_its_client_alone() {
    for other in [hop(9, 3), hop(9, 4)] {
        let mut network = following(by(1, hop(1, 3)), &[CLIENT, OTHER]);
        assert!(network.say(CLIENT, by(2, other)));
        network.sweep();
        assert!(network.is_watched(OTHER), "its route may have changed too");
        assert!(!network.say(OTHER, by(1, hop(1, 3))));
        network.settle();
        assert_eq!(network.hops_of(CLIENT), [other]);
        assert_eq!(network.hops_of(OTHER), [hop(1, 3)]);
        // Both routers are followed from here on.
        assert!(network.say(OTHER, by(1, hop(2, 3))));
        assert!(network.say(CLIENT, by(2, hop(8, other.ifindex()))));
        network.settle();
        assert_eq!(network.hops_of(CLIENT), [hop(8, other.ifindex())]);
        assert_eq!(network.hops_of(OTHER), [hop(2, 3)]);
    }
}

#[test]
fn a_route_that_changes_for_many_is_followed_by_each_of_them() {
    let mut network = following(by(1, hop(1, 3)), &[CLIENT, OTHER, THIRD]);
    assert!(network.say(CLIENT, by(2, hop(9, 3))));
    network.sweep();
    for client in [OTHER, THIRD] {
        assert!(network.say(client, by(2, hop(9, 3))));
    }
    network.settle();
    assert!(network.connections.iter().all(|(taken, _)| *taken == hop(9, 3)));
}

#[test]
fn both_hops_of_one_client_are_followed() {
    let mut network = Network::of(&[(hop(1, 3), CLIENT), (hop(2, 3), CLIENT)]);
    network.sweep();
    assert!(!network.say(CLIENT, by(2, hop(2, 3))));
    assert!(network.say(CLIENT, by(2, hop(5, 3))));
    network.settle();
    assert_eq!(network.hops_of(CLIENT), [hop(1, 3), hop(5, 3)], "the other was never the kernel's");
}

#[test]
fn a_hop_that_was_never_the_kernels_stays() {
    let mut network = Network::of(&[(hop(7, 3), CLIENT)]);
    network.sweep();
    assert!(!network.say(CLIENT, by(1, hop(1, 3))));
    assert!(!network.say(CLIENT, by(1, hop(2, 3))));
    network.settle();
    assert_eq!(network.hops_of(CLIENT), [hop(7, 3)]);
}

#[test]
fn a_hop_is_followed_by_a_client_that_the_kernel_reaches_through_it() {
    let mut network = Network::of(&[(hop(1, 3), CLIENT), (hop(1, 3), OTHER)]);
    network.sweep();
    assert!(!network.say(CLIENT, by(2, hop(9, 3))));
    network.connections.reverse();
    network.sweep();
    assert!(!network.is_watched(CLIENT));
    assert!(!network.say(OTHER, by(1, hop(1, 3))));
    assert!(network.say(OTHER, by(1, hop(2, 3))));
    network.settle();
    assert_eq!(network.hops_of(OTHER), [hop(2, 3)]);
}

#[test]
fn packets_through_another_hop_count_if_the_kernel_uses_it() {
    let mut network = Network::of(&[(hop(1, 3), CLIENT)]);
    assert!(network.clients.ask(CLIENT, hop(2, 3), network.now));
    assert!(!network.clients.ask(CLIENT, hop(2, 3), network.now), "once");
    network.say(CLIENT, by(1, hop(1, 3)));
    network.sweep();
    assert_eq!(network.hops_of(CLIENT), [hop(1, 3)], "a spoofed one");
    assert!(network.say(CLIENT, by(1, hop(2, 3))));
    network.sweep();
    assert_eq!(network.hops_of(CLIENT), [hop(2, 3)]);
}

#[test]
fn a_question_that_is_not_answered_is_forgotten() {
    let mut network = Network::of(&[]);
    assert!(network.clients.ask(CLIENT, hop(2, 3), network.now));
    network.watched.insert(CLIENT, 1);
    network.sweep();
    assert!(network.is_watched(CLIENT));
    network.now += PATIENCE;
    network.sweep();
    assert!(!network.is_watched(CLIENT));
}

#[test]
fn failed_writes_are_logged_once_and_retried_without_hurry() {
    let mut network = following(by(1, hop(1, 3)), &[CLIENT]);
    assert!(network.say(CLIENT, by(1, hop(2, 3))));
    let mut is_news = |is_failure| network.clients.note_write(is_failure);
    assert_eq!(
        [true, true, false, false, true].map(&mut is_news),
        [true, false, true, false, true]
    );
    for _ in 0..40 {
        // Writing has failed, so the connection is where it was.
        let urgent = network.sweep();
        network.connections = vec![(hop(1, 3), CLIENT)];
        assert!(!urgent);
    }
    network.clients.note_write(false);
    network.sweep();
    assert_eq!(network.hops_of(CLIENT), [hop(2, 3)]);
}

/// Forged SYNs with a client's address must not block the client, whatever else is sent.
#[test]
fn handshakes_of_a_client_use_the_kernels_hop() {
    let (forged, own) = (hop(6, 2), hop(1, 2));
    let mut network = Network::of(&[]);
    assert!(network.clients.ask(CLIENT, forged, network.now));
    assert!(!network.clients.ask(CLIENT, own, network.now), "it is being asked for");
    assert!(network.say(CLIENT, by(1, own)), "a sweep is waited for");
    let moves = network.clients.search().moves;
    let wanted = |from| moves.wanted_in_handshake(from, CLIENT.octets(), &mut HashSet::new());
    assert_eq!([wanted(forged), wanted(own)], [Some(own), None]);
    assert!(!moves.is_moving(forged, CLIENT.octets()), "connections stay");
}
