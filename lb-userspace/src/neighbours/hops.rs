//! The neighbours that frames to watched addresses go to, and when to ask for them.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    net::IpAddr,
    time::{Duration, Instant},
};

use rtnetlink::packet_route::neighbour::NeighbourState;

use super::table::{NeighbourId, Table};

/// How often a neighbour is asked whether it is still there, at the address where it was.
pub(super) const CONFIRM_EVERY: Duration = Duration::from_millis(400);

/// How long it may take to say so before everybody is asked where it is.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);

/// When a neighbour that nobody knows is asked for again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long a neighbour's silence is put up with: as long as the kernel asks for one.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How often questions are put.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// Questions put at once: enough for a thousand neighbours within `CONFIRM_EVERY`. More are asked
/// in turn, each less often.
const QUESTIONS: usize = 150;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// To everybody.
    Where,
    /// To where it was last.
    StillThere,
    /// To everybody, as it does not answer there.
    WhereElse,
}

#[derive(Debug, Default)]
pub(super) struct Hops {
    known: HashMap<NeighbourId, Neighbour>,
}

#[derive(Debug, Default)]
struct Neighbour {
    /// Watched addresses whose frames go to it.
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

    /// Whether a neighbour's silence has lasted too long.
    pub(super) fn is_given_up(&self, id: NeighbourId) -> bool {
        self.known.get(&id).is_some_and(|hop| hop.given_up)
    }

    /// Looks who is silent. Returns the addresses behind those who are given up, or no more.
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

    /// What to ask now: first those who have not been asked for longest.
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
    /// Returns whether it is now given up, or no more.
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
