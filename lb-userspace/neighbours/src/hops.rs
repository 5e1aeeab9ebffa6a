//! Neighbours that are next hops of watched addresses, and the times of their probes.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    net::IpAddr,
    time::{Duration, Instant},
};

use rtnetlink::packet_route::neighbour::NeighbourState;

use super::table::{NeighbourId, Table};

/// Interval of unicast probes that confirm a neighbour at its last known MAC address.
pub(super) const CONFIRM_EVERY: Duration = Duration::from_millis(400);

/// Time to answer a unicast probe before a broadcast or multicast request follows.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// Interval of requests for an unknown neighbour.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Silence after which a neighbour is given up: as long as the kernel's own resolution takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Interval at which requests are sent.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// Maximum requests per tick: enough for a thousand neighbours within `CONFIRM_EVERY`. With more,
/// each is probed less often.
const QUESTIONS: usize = 150;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Broadcast or multicast: the MAC address is unknown.
    Where,
    /// Unicast to the last known MAC address.
    StillThere,
    /// Broadcast or multicast, as it does not answer at the last known MAC address.
    WhereElse,
}

#[derive(Debug, Default)]
pub(super) struct Hops {
    known: HashMap<NeighbourId, Neighbour>,
}

#[derive(Debug, Default)]
struct Neighbour {
    /// Watched addresses with this next hop.
    users: BTreeSet<IpAddr>,
    asked_at: Option<Instant>,
    silent_since: Option<Instant>,
    given_up: bool,
}

impl Hops {
    pub(super) fn join(&mut self, id: NeighbourId, user: IpAddr) {
        self.known.entry(id).or_default().users.insert(user);
    }

    pub(super) fn leave(&mut self, id: NeighbourId, user: IpAddr) {
        let Entry::Occupied(mut hop) = self.known.entry(id) else {
            return;
        };
        hop.get_mut().users.remove(&user);
        if hop.get().users.is_empty() {
            hop.remove();
        }
    }

    pub(super) fn users(&self, id: NeighbourId) -> impl Iterator<Item = IpAddr> {
        self.known.get(&id).into_iter().flat_map(|hop| hop.users.iter().copied())
    }

    /// Returns true if a neighbour has been silent for too long.
    pub(super) fn is_given_up(&self, id: NeighbourId) -> bool {
        self.known.get(&id).is_some_and(|hop| hop.given_up)
    }

    /// Updates the silent neighbours. Returns the addresses behind those that are newly given up,
    /// or no longer.
    pub(super) fn listen(&mut self, table: &Table, now: Instant) -> Vec<IpAddr> {
        let mut affected = Vec::new();
        for (id, hop) in &mut self.known {
            let is_silent = is_up(table, *id) && table.mac(*id).is_none();
            if hop.note_silence(is_silent, now) {
                affected.extend(&hop.users);
            }
        }
        affected
    }

    /// Returns the requests that are due, least recently probed neighbours first.
    pub(super) fn questions(
        &mut self,
        table: &Table,
        now: Instant,
    ) -> Vec<(NeighbourId, Question)> {
        let mut due: Vec<_> = self
            .known
            .iter()
            .filter_map(|(id, hop)| Some((hop.asked_at, *id, hop.question(table, *id, now)?)))
            .collect();
        due.sort_unstable_by_key(|(asked_at, id, _)| (*asked_at, *id));
        due.truncate(QUESTIONS);
        for (_, id, _) in &due {
            if let Some(hop) = self.known.get_mut(id) {
                hop.asked_at = Some(now);
            }
        }
        due.into_iter().map(|(_, id, question)| (id, question)).collect()
    }
}

impl Neighbour {
    /// Returns true if it is newly given up, or no longer.
    fn note_silence(&mut self, is_silent: bool, now: Instant) -> bool {
        self.silent_since = is_silent.then(|| self.silent_since.unwrap_or(now));
        let given_up = self.silent_since.is_some_and(|since| now >= since + PATIENCE);
        std::mem::replace(&mut self.given_up, given_up) != given_up
    }

    fn question(&self, table: &Table, id: NeighbourId, now: Instant) -> Option<Question> {
        if !is_up(table, id) {
            return None;
        }
        let (question, pause) = match table.neighbour(id) {
            Some(neighbour) if neighbour.is_fixed => return None,
            None => (Question::Where, ASK_AGAIN),
            Some(neighbour) => match neighbour.state {
                NeighbourState::None | NeighbourState::Failed => (Question::Where, ASK_AGAIN),
                NeighbourState::Incomplete => return None,
                NeighbourState::Probe => (Question::WhereElse, ANSWER_WITHIN),
                _ => (Question::StillThere, CONFIRM_EVERY),
            },
        };
        self.asked_at.is_none_or(|asked_at| now >= asked_at + pause).then_some(question)
    }
}

fn is_up(table: &Table, (ifindex, _): NeighbourId) -> bool {
    table.link(ifindex).is_some_and(|link| link.up)
}
