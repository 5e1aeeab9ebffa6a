//! Moves of replies to another next hop.

use std::collections::{HashMap, HashSet};

use lb_common::backend::Hop;

/// Maximum number of sweeps that find connections of one move, as new ones may keep coming through
/// the old hop. Later ones are not moved.
const MOST_SWEEPS: u32 = 16;

/// Replies that a move applies to. A client's own move has priority over that of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All replies through this hop.
    Hop(Hop),
    /// A client's replies through any hop.
    Client([u8; 4]),
    /// A client's replies through this hop.
    ClientBy([u8; 4], Hop),
    /// A client's replies through any hop, in incomplete handshakes, which may be forged.
    Handshakes([u8; 4]),
}

/// Targets by scope: one each, so that no two moves conflict.
#[derive(Clone, Debug, Default)]
pub struct Moves(HashMap<Scope, Target>);

#[derive(Clone, Copy, Debug)]
struct Target {
    to: Hop,
    /// Number of sweeps that have found connections to move, and moved them all.
    sweeps: u32,
}

impl Moves {
    /// Adds a move: earlier moves to its start now lead to its end, and moves that it reverts are
    /// dropped.
    pub fn add(&mut self, scope: Scope, to: Hop) {
        for (other, target) in &mut self.0 {
            if scope.continues(*other, target.to) {
                *target = Target { to, sweeps: 0 };
            }
        }
        self.0.retain(|other, target| {
            let is_back = other.from() == Some(target.to);
            !is_back && !scope.replaces(*other, to)
        });
        self.0.insert(scope, Target { to, sweeps: 0 });
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the target hops.
    #[must_use]
    pub fn targets(&self) -> HashSet<Hop> {
        self.0.values().map(|target| target.to).collect()
    }

    /// Returns true if a client's connections must leave a hop.
    #[must_use]
    pub fn is_moving(&self, hop: Hop, client: [u8; 4]) -> bool {
        self.wanted(hop, client, &mut HashSet::new()).is_some()
    }

    /// Returns the target hop of a half-open connection's replies if it differs from the current
    /// one. Adds the moves that apply to `found`.
    #[must_use]
    pub fn wanted_in_handshake(
        &self,
        hop: Hop,
        client: [u8; 4],
        found: &mut HashSet<Scope>,
    ) -> Option<Hop> {
        let scope = Scope::Handshakes(client);
        let Some(Target { to, .. }) = self.0.get(&scope) else {
            return self.wanted(hop, client, found);
        };
        if *to == hop {
            return None;
        }
        found.insert(scope);
        Some(*to)
    }

    /// Returns the target hop of a connection's replies if it differs from the current one. Adds
    /// the moves that apply to `found`.
    #[must_use]
    pub fn wanted(&self, hop: Hop, client: [u8; 4], found: &mut HashSet<Scope>) -> Option<Hop> {
        if self.0.is_empty() {
            return None;
        }
        let mut step = |scope| {
            let Target { to, .. } = self.0.get(&scope)?;
            if *to != hop {
                found.insert(scope);
            }
            Some(*to)
        };
        let to = step(Scope::Client(client)).or_else(|| step(Scope::ClientBy(client, hop)));
        let to = to.or_else(|| {
            let next = step(Scope::Hop(hop))?;
            Some(step(Scope::ClientBy(client, next)).unwrap_or(next))
        });
        to.filter(|to| *to != hop)
    }

    /// Ends moves that a sweep has searched for and not found. `are_all_moved` is true if it has
    /// moved all connections that it has found.
    pub fn settle(&mut self, looked_for: &Self, found: &HashSet<Scope>, are_all_moved: bool) {
        self.0.retain(|scope, target| {
            // Moves added or changed during the sweep are left to the next one.
            if looked_for.0.get(scope).is_none_or(|former| former.to != target.to) {
                return true;
            }
            target.sweeps += u32::from(are_all_moved);
            found.contains(scope) && target.sweeps < MOST_SWEEPS
        });
    }
}

impl Scope {
    /// Returns the hop to leave, if the scope has one.
    fn from(self) -> Option<Hop> {
        match self {
            Self::Hop(hop) | Self::ClientBy(_, hop) => Some(hop),
            Self::Client(_) | Self::Handshakes(_) => None,
        }
    }

    fn client(self) -> Option<[u8; 4]> {
        match self {
            Self::Client(client) | Self::ClientBy(client, _) | Self::Handshakes(client) => {
                Some(client)
            }
            Self::Hop(_) => None,
        }
    }

    /// Returns true if this scope has all connections that another has moved to a hop.
    fn continues(self, other: Self, to: Hop) -> bool {
        match self {
            Self::Hop(from) => from == to,
            Self::ClientBy(client, from) => from == to && other.client() == Some(client),
            Self::Client(_) | Self::Handshakes(_) => false,
        }
    }

    /// Returns true if this move to a hop makes another one void.
    fn replaces(self, other: Self, to: Hop) -> bool {
        match self {
            Self::Hop(_) => other == Self::Hop(to),
            Self::ClientBy(client, _) => other == Self::ClientBy(client, to),
            Self::Client(client) => other.client() == Some(client),
            Self::Handshakes(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: [u8; 4] = [198, 51, 100, 7];
    const OTHER: [u8; 4] = [198, 51, 100, 8];

    fn hop(mac: u8) -> Hop {
        Hop::new([2, 0, 0, 0, 0, mac], [4; 6], 3)
    }

    fn moves(all: &[(Scope, Hop)]) -> Moves {
        let mut moves = Moves::default();
        for (scope, to) in all {
            moves.add(*scope, *to);
        }
        moves
    }

    fn wanted(moves: &Moves, from: Hop, client: [u8; 4]) -> Option<Hop> {
        moves.wanted(from, client, &mut HashSet::new())
    }

    /// Simulates a sweep: updates moves and connections.
    fn sweep(moves: &mut Moves, connections: &mut [(Hop, [u8; 4])]) {
        let (looked_for, mut found) = (moves.clone(), HashSet::new());
        for (hop, client) in connections {
            *hop = looked_for.wanted(*hop, *client, &mut found).unwrap_or(*hop);
        }
        moves.settle(&looked_for, &found, true);
    }

    #[test]
    fn handshakes_in_a_clients_name_are_moved_and_its_connections_stay() {
        let mut moves = Moves::default();
        moves.add(Scope::Handshakes(CLIENT), hop(1));
        let mut found = HashSet::new();
        assert_eq!(moves.wanted_in_handshake(hop(2), CLIENT, &mut found), Some(hop(1)));
        assert_eq!(found, HashSet::from([Scope::Handshakes(CLIENT)]));
        assert_eq!(moves.wanted_in_handshake(hop(1), CLIENT, &mut found), None);
        assert_eq!(moves.wanted_in_handshake(hop(2), OTHER, &mut found), None);
        assert_eq!(moves.wanted(hop(2), CLIENT, &mut found), None, "it is not half-open");
        moves.settle(&moves.clone(), &HashSet::new(), true);
        assert!(moves.is_empty());
    }

    #[test]
    fn a_change_back_leaves_one_target_and_ends() {
        let mut moves = moves(&[(Scope::Hop(hop(1)), hop(2)), (Scope::Hop(hop(2)), hop(1))]);
        let mut connections = [(hop(1), CLIENT), (hop(2), OTHER)];
        sweep(&mut moves, &mut connections);
        assert_eq!(connections.map(|(hop, _)| hop), [hop(1); 2]);
        sweep(&mut moves, &mut connections);
        assert!(moves.is_empty(), "{moves:?}");
    }

    #[test]
    fn changes_in_a_row_lead_to_the_last() {
        let moves = moves(&[
            (Scope::Hop(hop(1)), hop(2)),
            (Scope::Client(CLIENT), hop(2)),
            (Scope::Hop(hop(2)), hop(3)),
        ]);
        for from in [hop(1), hop(2)] {
            assert_eq!(wanted(&moves, from, OTHER), Some(hop(3)));
        }
        assert_eq!(wanted(&moves, hop(9), CLIENT), Some(hop(3)));
        assert_eq!(wanted(&moves, hop(9), OTHER), None);
        assert_eq!(moves.targets(), [hop(3)].into());
    }

    #[test]
    fn a_clients_own_move_counts_more_than_that_of_all() {
        let by = |from| Scope::ClientBy(CLIENT, hop(from));
        let mut moves = moves(&[(Scope::Hop(hop(1)), hop(2)), (by(2), hop(5))]);
        for from in [hop(1), hop(2)] {
            assert_eq!(wanted(&moves, from, CLIENT), Some(hop(5)));
        }
        assert_eq!(wanted(&moves, hop(1), OTHER), Some(hop(2)));
        moves.add(Scope::Client(CLIENT), hop(1));
        assert_eq!(wanted(&moves, hop(1), CLIENT), None, "it is where it should be");
        assert_eq!(wanted(&moves, hop(2), CLIENT), Some(hop(1)));
    }

    #[test]
    fn a_clients_change_back_leaves_nothing_else() {
        let by = |from| Scope::ClientBy(CLIENT, hop(from));
        let moves = moves(&[(by(1), hop(2)), (by(2), hop(1))]);
        assert_eq!(wanted(&moves, hop(1), CLIENT), None);
        assert_eq!(wanted(&moves, hop(2), CLIENT), Some(hop(1)));
    }

    #[test]
    fn moves_added_during_a_sweep_are_kept_for_the_next() {
        let mut moves = moves(&[(Scope::Hop(hop(1)), hop(2))]);
        let looked_for = moves.clone();
        moves.add(Scope::Hop(hop(2)), hop(3));
        moves.add(Scope::Client(CLIENT), hop(4));
        moves.settle(&looked_for, &HashSet::new(), true);
        assert_eq!(wanted(&moves, hop(1), OTHER), Some(hop(3)));
        assert_eq!(wanted(&moves, hop(1), CLIENT), Some(hop(4)));
    }

    #[test]
    fn one_move_that_is_found_keeps_no_other() {
        let mut moves = moves(&[(Scope::Hop(hop(1)), hop(2)), (Scope::Hop(hop(3)), hop(4))]);
        let mut connections = [(hop(1), CLIENT)];
        sweep(&mut moves, &mut connections);
        assert!(moves.is_moving(hop(1), OTHER) && !moves.is_moving(hop(3), OTHER));
    }

    #[test]
    fn new_connections_through_the_old_hop_do_not_keep_a_move_forever() {
        let mut moves = moves(&[(Scope::Hop(hop(1)), hop(2))]);
        for _ in 0..MOST_SWEEPS {
            assert!(!moves.is_empty());
            sweep(&mut moves, &mut [(hop(1), CLIENT)]);
        }
        assert!(moves.is_empty());
    }

    #[test]
    fn unfinished_moves_are_kept() {
        let mut moves = moves(&[(Scope::Hop(hop(1)), hop(2))]);
        let (looked_for, found) = (moves.clone(), [Scope::Hop(hop(1))].into());
        for _ in 0..2 * MOST_SWEEPS {
            moves.settle(&looked_for, &found, false);
        }
        assert!(!moves.is_empty());
    }
}
