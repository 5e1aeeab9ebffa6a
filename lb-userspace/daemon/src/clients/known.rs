//! State of next hops of clients, without I/O.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use lb_common::backend::Hop;
use lb_dataplane::{FlowCounts, Moves, Scope, Search};

/// Maximum number of followed hops, and of clients whose packets came through another hop.
const MOST: usize = 256;

/// Maximum number of clients of hops under review whose routes are looked up at once.
const MOST_REVIEWED: usize = 1_024;

/// Timeout for the kernel's answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The kernel's next hop of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub hop: Hop,
    /// Neighbour with the hop's MAC address.
    pub neighbour: IpAddr,
}

/// Known next hops of clients.
#[derive(Debug, Default)]
pub struct Clients {
    /// By the hop of connections.
    followed: HashMap<Hop, Followed>,
    /// Clients whose packets came through these hops.
    asked: HashMap<Ipv4Addr, Question>,
    /// Hops that the route to one client has left: routes to others may have left them too.
    reviews: HashMap<Hop, Review>,
    /// Clients whose replies use a hop under review.
    reviewed: HashMap<Ipv4Addr, Question>,
    /// Changes not yet applied to the whole flow table.
    moves: Moves,
    is_write_failing: bool,
}

#[derive(Debug)]
struct Followed {
    /// A client of the hop.
    client: Ipv4Addr,
    /// The kernel's next hop, if known.
    reached: Option<Reached>,
}

#[derive(Debug)]
struct Question {
    hop: Hop,
    since: Instant,
}

#[derive(Debug)]
struct Review {
    since: Instant,
    /// Clients already found.
    known: HashSet<[u8; 4]>,
}

/// Consequences of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Clients whose next hop to watch, once more each.
    pub watched: Vec<Ipv4Addr>,
    /// Clients to watch once less.
    pub forgotten: Vec<Ipv4Addr>,
    /// True if a sweep should start at once.
    pub is_urgent: bool,
    /// True if the change is logged.
    pub is_news: bool,
}

impl Reached {
    fn has_neighbour_of(self, other: Self) -> bool {
        self.hop.ifindex() == other.hop.ifindex() && self.neighbour == other.neighbour
    }
}

impl Followed {
    /// Returns true if the kernel uses another next hop for the client.
    fn is_contradicted(&self, hop: Hop) -> bool {
        self.reached.is_some_and(|reached| reached.hop != hop)
    }
}

impl Clients {
    /// Returns the search of the next sweep.
    pub fn search(&self) -> Search {
        let known = |(hop, review): (&Hop, &Review)| (*hop, review.known.clone());
        Search { moves: self.moves.clone(), clients_of: self.reviews.iter().map(known).collect() }
    }

    /// Records that a client's packets come through this hop. Returns true if the kernel must be
    /// asked.
    pub fn ask(&mut self, client: Ipv4Addr, hop: Hop, now: Instant) -> bool {
        if self.asked.contains_key(&client) || self.asked.len() >= MOST {
            return false;
        }
        self.asked.insert(client, Question { hop, since: now });
        true
    }

    /// Follows the kernel's current next hop of a client.
    ///
    /// The first answer on a hop only confirms it: packets may come through another router than the
    /// kernel would use, and replies go to the source of the handshake.
    pub fn resolve(&mut self, client: Ipv4Addr, reached: Reached, now: Instant) -> Changes {
        let mut changes = Changes::default();
        for (hop, former) in self.left(client, reached) {
            self.leave(hop, former, client, reached, now, &mut changes);
            changes.is_news = true;
        }
        match self.asked.get(&client) {
            Some(question) if question.hop == reached.hop => {
                self.moves.add(Scope::Client(client.octets()), reached.hop);
                changes.is_news = true;
            }
            // Frames with its address came through another hop, and forged SYNs may have as well:
            // its own SYNs, on the same tuples, must not wait for answers that go elsewhere.
            Some(_) => {
                self.moves.add(Scope::Handshakes(client.octets()), reached.hop);
                changes.is_urgent = true;
            }
            None => {}
        }
        changes.is_urgent |= changes.is_news;
        if let Some(question) = self.reviewed.remove(&client) {
            changes.forgotten.push(client);
            if question.hop != reached.hop {
                self.moves.add(Scope::ClientBy(client.octets(), question.hop), reached.hop);
                changes.is_urgent = true;
            }
        }
        changes
    }

    /// Returns the previous hops of a client.
    fn left(&mut self, client: Ipv4Addr, reached: Reached) -> Vec<(Hop, Reached)> {
        let of_client = self.followed.iter_mut().filter(|(_, one)| one.client == client);
        let left = of_client.filter_map(|(hop, followed)| {
            let former = followed.reached.replace(reached)?;
            (former.hop == *hop && reached.hop != *hop).then_some((*hop, former))
        });
        left.collect()
    }

    fn leave(
        &mut self,
        hop: Hop,
        former: Reached,
        client: Ipv4Addr,
        reached: Reached,
        now: Instant,
        changes: &mut Changes,
    ) {
        if former.has_neighbour_of(reached) {
            self.moves.add(Scope::Hop(hop), reached.hop);
        } else {
            // The route has changed, to this client and possibly to others.
            let client = client.octets();
            self.moves.add(Scope::ClientBy(client, hop), reached.hop);
            self.reviews.insert(hop, Review { since: now, known: [client].into() });
        }
        self.followed.remove(&hop);
        let followed = Followed { client, reached: Some(reached) };
        let replaced = self.followed.insert(reached.hop, followed);
        changes.forgotten.extend(replaced.map(|one| one.client));
    }

    /// Records if writing has failed. Returns true if that has changed.
    pub fn note_write(&mut self, is_failure: bool) -> bool {
        std::mem::replace(&mut self.is_write_failing, is_failure) != is_failure
    }

    /// Follows the results of a sweep that began at `begun`, given its search.
    pub fn follow(
        &mut self,
        looked_for: &Search,
        flow_counts: &FlowCounts,
        begun: Instant,
        now: Instant,
    ) -> Changes {
        let are_all_moved = !self.is_write_failing && flow_counts.has_all_moved();
        self.moves.settle(&looked_for.moves, &flow_counts.found, are_all_moved);
        let mut changes = Changes::default();
        self.forget(&flow_counts.client_hops, now, &mut changes);
        self.review(flow_counts, begun, now, &mut changes);
        self.follow_hops(&flow_counts.client_hops, &mut changes);
        let has_moves = !self.moves.is_empty() && !self.is_write_failing;
        changes.is_urgent = has_moves || !self.reviews.is_empty();
        changes
    }

    /// Forgets hops without connections, and questions that the kernel has not confirmed.
    fn forget(&mut self, hops: &HashMap<Hop, [u8; 4]>, now: Instant, changes: &mut Changes) {
        let targets = self.moves.targets();
        self.followed.retain(|hop, followed| {
            let stays = hops.contains_key(hop) || targets.contains(hop);
            changes.forgotten.extend((!stays).then_some(followed.client));
            stays
        });
        for questions in [&mut self.asked, &mut self.reviewed] {
            questions.retain(|client, question| {
                let stays = now.saturating_duration_since(question.since) < PATIENCE;
                changes.forgotten.extend((!stays).then_some(*client));
                stays
            });
        }
    }

    /// Asks the kernel about clients that a sweep has found on hops under review. Later clients
    /// have learnt their own hop, so a review ends with the first sweep that found all clients and
    /// could ask about all.
    fn review(
        &mut self,
        flow_counts: &FlowCounts,
        begun: Instant,
        now: Instant,
        changes: &mut Changes,
    ) {
        let mut is_whole = flow_counts.has_all_clients();
        for (hop, client) in &flow_counts.clients {
            let Some(review) = self.reviews.get_mut(hop) else { continue };
            let address = Ipv4Addr::from(*client);
            if self.reviewed.len() >= MOST_REVIEWED || self.reviewed.contains_key(&address) {
                is_whole = false;
            } else if review.known.insert(*client) {
                self.reviewed.insert(address, Question { hop: *hop, since: now });
                changes.watched.push(address);
            }
        }
        self.reviews.retain(|_, review| !is_whole || review.since > begun);
    }

    /// Follows each hop by one of its clients, and by another one if the kernel uses another hop
    /// for the first.
    fn follow_hops(&mut self, hops: &HashMap<Hop, [u8; 4]>, changes: &mut Changes) {
        for (hop, client) in hops {
            let client = Ipv4Addr::from(*client);
            let is_wanted = match self.followed.get(hop) {
                None => self.followed.len() < MOST && !self.moves.is_moving(*hop, client.octets()),
                Some(known) => known.client != client && known.is_contradicted(*hop),
            };
            if !is_wanted {
                continue;
            }
            let replaced = self.followed.insert(*hop, Followed { client, reached: None });
            changes.forgotten.extend(replaced.map(|one| one.client));
            changes.watched.push(client);
        }
    }
}

#[cfg(test)]
mod tests;
