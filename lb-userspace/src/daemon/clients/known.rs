//! What is known of next hops to clients, and what follows of it: pure.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use lb_common::backend::Hop;

use crate::dataplane::{FlowCounts, Moves, Scope, Search};

/// Hops that are followed, and clients whose packets came by another hop; each.
const MOST: usize = 256;

/// Clients of hops under review whose routes are looked up at once.
const MOST_REVIEWED: usize = 1_024;

/// How long the kernel has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the kernel reaches a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub hop: Hop,
    /// Whose MAC address the hop leads to.
    pub neighbour: IpAddr,
}

/// What is known of next hops to clients.
#[derive(Debug, Default)]
pub struct Clients {
    /// By the hop that connections have.
    followed: HashMap<Hop, Followed>,
    /// Clients whose packets came by these hops.
    asked: HashMap<Ipv4Addr, Question>,
    /// Hops that the route to one client has left: those to others may have left them too.
    reviews: HashMap<Hop, Review>,
    /// Clients whose replies take a hop under review.
    reviewed: HashMap<Ipv4Addr, Question>,
    /// What the flow table does not all follow yet.
    moves: Moves,
    is_write_failing: bool,
}

#[derive(Debug)]
struct Followed {
    /// One that the hop leads to.
    client: Ipv4Addr,
    /// As the kernel has it, if it has said so.
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
    /// Clients that have been found.
    known: HashSet<[u8; 4]>,
}

/// What follows of news.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Clients whose next hop is to be told, each once more.
    pub watched: Vec<Ipv4Addr>,
    /// Those that are watched once less.
    pub forgotten: Vec<Ipv4Addr>,
    /// Whether a sweep is waited for.
    pub is_urgent: bool,
    /// Whether people are told.
    pub is_news: bool,
}

impl Reached {
    fn has_neighbour_of(self, other: Self) -> bool {
        self.hop.ifindex() == other.hop.ifindex() && self.neighbour == other.neighbour
    }
}

impl Followed {
    /// Whether the kernel reaches the client otherwise.
    fn is_contradicted(&self, hop: Hop) -> bool {
        self.reached.is_some_and(|reached| reached.hop != hop)
    }
}

impl Clients {
    /// What the next sweep is to look for.
    pub fn search(&self) -> Search {
        let known = |(hop, review): (&Hop, &Review)| (*hop, review.known.clone());
        Search { moves: self.moves.clone(), clients_of: self.reviews.iter().map(known).collect() }
    }

    /// A client's packets come by this hop. Returns whether the kernel is to be asked.
    pub fn ask(&mut self, client: Ipv4Addr, hop: Hop, now: Instant) -> bool {
        if self.asked.contains_key(&client) || self.asked.len() >= MOST {
            return false;
        }
        self.asked.insert(client, Question { hop, since: now });
        true
    }

    /// Follows how the kernel reaches a client now.
    ///
    /// Its first word on a hop only confirms it: packets may come by another router than the kernel
    /// would take, and replies go where the handshake came from.
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
            // Frames in its name came otherwise, and so may others' SYNs have: its own, on the same
            // tuples, must not wait for answers that go elsewhere.
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

    /// Hops that a client was reached by until now.
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
            // It is the route that has changed, to this client and maybe to others.
            let client = client.octets();
            self.moves.add(Scope::ClientBy(client, hop), reached.hop);
            self.reviews.insert(hop, Review { since: now, known: [client].into() });
        }
        self.followed.remove(&hop);
        let followed = Followed { client, reached: Some(reached) };
        let replaced = self.followed.insert(reached.hop, followed);
        changes.forgotten.extend(replaced.map(|one| one.client));
    }

    /// Notes whether writing has failed. Returns whether that is new.
    pub fn note_write(&mut self, is_failure: bool) -> bool {
        std::mem::replace(&mut self.is_write_failing, is_failure) != is_failure
    }

    /// Follows what a sweep has found that began then, given what it looked for.
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

    /// Forgets hops that no connection has any more, and questions that the kernel has not said yes to.
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

    /// Asks for clients that a sweep has found of hops under review. Clients that come later have learnt
    /// their own hop, so a review ends with the first sweep that has found all and could ask for all.
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

    /// Follows each hop by a client of it, and by another one if the kernel reaches that one otherwise.
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
