//! Passive checks by packets of backends: refused connections and missing answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use lb_common::event::{self, Event, Kind};
use lb_health::HealthEvent;
use lb_model::{EventKey, Health, Probe};
use lb_notify::Transition;

use super::{
    daemon::Daemon,
    service::{Backend, Service},
    state::State,
    transitions::about,
};

/// Time that an unchecked backend is skipped before one connection tries it again.
const TRIAL: Duration = Duration::from_secs(10);

/// Formats the number of a service's backends that take new connections.
pub(super) fn taking_of(service: &Service, refusing: &BTreeSet<u32>) -> String {
    let members = service.members();
    let taking = members.iter().filter(|member| !refusing.contains(&member.id)).count();
    let all = service.backends.len();
    format!("{taking} of {all} backends take connections")
}

/// Backends that refuse connections, by id, and false alarms.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    refusing: BTreeMap<u32, Refusing>,
    false_alarms: FalseAlarms,
}

/// Healthy backends that have refused handshakes, by id: number and last time. Clients can cause
/// refusals: a server refuses a SYN that joins an unknown MPTCP connection, or one on a port that
/// it still knows from another client's SYN.
#[derive(Debug, Default)]
struct FalseAlarms(BTreeMap<u32, (u32, Instant)>);

/// Lifetime of a false alarm.
const REMEMBERED: Duration = Duration::from_mins(10);

/// Refusals that are ignored after the first false alarm; [`GROWTH`] times as many after each
/// further one.
const IGNORED: u32 = 100;
const GROWTH: u32 = 8;
const MOST_IGNORED: u32 = 10_000_000;

impl FalseAlarms {
    /// Records a false alarm. Returns the number of following refusals to ignore.
    fn note(&mut self, id: u32, now: Instant) -> u32 {
        self.0.retain(|_, (_, last)| now.saturating_duration_since(*last) <= REMEMBERED);
        let (count, last) = self.0.entry(id).or_insert((0, now));
        let ignored = IGNORED.saturating_mul(GROWTH.saturating_pow(*count)).min(MOST_IGNORED);
        (*count, *last) = (count.saturating_add(1), now);
        ignored
    }
}

#[derive(Clone, Copy, Debug)]
struct Refusing {
    since: Instant,
    /// The next connection decides.
    is_on_trial: bool,
}

/// Change of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Began,
    Ended,
    /// The backend is tried again.
    Trial,
}

/// A backend with its service.
struct Seen {
    service: String,
    address: SocketAddr,
    id: u32,
    is_up: bool,
    is_checked: bool,
}

impl Refusals {
    /// Returns the ids of backends that refuse connections.
    pub(super) fn ids(&self) -> BTreeSet<u32> {
        self.refusing.keys().copied().collect()
    }

    /// Follows the number of handshakes that a backend has refused in a row.
    fn follow(&mut self, id: u32, count: u32, is_checked: bool, now: Instant) -> Option<Change> {
        let refuses = count >= event::REFUSALS;
        let Some(known) = self.refusing.get_mut(&id) else {
            let began = Refusing { since: now, is_on_trial: false };
            return refuses.then(|| {
                self.refusing.insert(id, began);
                Change::Began
            });
        };
        if !refuses {
            let is_undecided = known.is_on_trial && count == TRIAL_COUNT;
            return (!is_undecided).then(|| {
                self.refusing.remove(&id);
                Change::Ended
            });
        }
        if known.is_on_trial {
            *known = Refusing { since: now, is_on_trial: false };
        }
        let is_due = !is_checked && now.saturating_duration_since(known.since) >= TRIAL;
        known.is_on_trial = is_due;
        is_due.then_some(Change::Trial)
    }

    /// Returns the ids of refusing backends and these.
    fn and(&self, ids: Vec<u32>) -> BTreeSet<u32> {
        self.refusing.keys().copied().chain(ids).collect()
    }

    /// Continues with other ids of the same backends: the former one and the present one of each.
    pub(super) fn renew(&mut self, ids: &[(u32, u32)]) {
        for (former, present) in ids {
            rename(&mut self.refusing, *former, *present);
            rename(&mut self.false_alarms.0, *former, *present);
        }
    }

    fn retain(&mut self, ids: &BTreeSet<u32>) {
        self.refusing.retain(|id, _| ids.contains(id));
    }
}

/// Moves an entry, whatever the other key had.
fn rename<V>(map: &mut BTreeMap<u32, V>, from: u32, to: u32) {
    match map.remove(&from) {
        Some(value) => map.insert(to, value),
        None => map.remove(&to),
    };
}

/// One more refusal, and it is skipped again.
const TRIAL_COUNT: u32 = event::REFUSALS - 1;

impl Daemon {
    /// Handles events of the program that arrived together.
    pub(super) fn on_events(&mut self, events: impl Iterator<Item = Event>) {
        let (mut silent, mut has_refused) = (BTreeSet::new(), false);
        for event in events {
            match Kind::from_number(event.kind) {
                Some(Kind::Refusing) => has_refused = true,
                Some(Kind::Silent) => drop(silent.insert(event.backend)),
                Some(Kind::ClientMoved) => self.on_client_moved(&event),
                None => log::debug!("the program has sent an event of unknown kind {}", event.kind),
            }
        }
        if has_refused {
            self.follow_refusals();
        }
        if !silent.is_empty() {
            self.hurry_checks(&silent);
        }
    }

    /// Starts checks at once of backends that have left a SYN unanswered. That alone takes no
    /// backend down: the client may be the cause.
    fn hurry_checks(&mut self, ids: &BTreeSet<u32>) {
        for one in seen(&self.state, ids) {
            self.checking.checker.hurry(&one.service, one.address);
        }
    }

    /// Compares the program's counts of refusals with the known ones.
    pub(super) fn follow_refusals(&mut self) {
        let now = Instant::now();
        let suspects = self.checking.refusals.and(self.kernel.dataplane.refusing());
        let mut ids = BTreeSet::new();
        let mut changes = Vec::new();
        for one in seen(&self.state, &suspects) {
            ids.insert(one.id);
            let count = self.kernel.dataplane.refusals(one.id);
            if let Some(change) = self.checking.refusals.follow(one.id, count, one.is_checked, now)
            {
                changes.push((one, change));
            }
        }
        self.checking.refusals.retain(&ids);
        for (one, change) in changes {
            self.tell_of(&one, change);
        }
    }

    fn tell_of(&mut self, one: &Seen, change: Change) {
        let Seen { service, address, id, .. } = one;
        match change {
            Change::Began => {
                self.checking.checker.hurry(service, *address);
                let refusing =
                    about(Transition::new(lb_model::Event::BackendRefusing), service, *address);
                self.tell_all([refusing.with(EventKey::Reason, self.taking(service))]);
            }
            Change::Ended if one.is_up => {
                let ignored = self.checking.refusals.false_alarms.note(*id, Instant::now());
                self.kernel.dataplane.ignore_refusals(*id, ignored);
                let back =
                    about(Transition::new(lb_model::Event::BackendAccepting), service, *address);
                self.tell_all([back.with(EventKey::Reason, self.taking(service))]);
            }
            // Logged with the check.
            Change::Ended => {}
            Change::Trial => {
                log::debug!(service, backend:% = address; "backend is tried again");
                self.kernel.dataplane.set_refusals(*id, TRIAL_COUNT);
            }
        }
    }

    fn taking(&self, name: &str) -> String {
        self.state
            .service(name)
            .map_or_else(String::new, |service| taking_of(service, &self.checking.refusals.ids()))
    }

    /// Counts refusals on under other ids of the same backends.
    pub(super) fn pass_refusals(&self, ids: &[(u32, u32)]) {
        for (from, to) in ids {
            self.kernel.dataplane.pass_refusals(*from, *to);
        }
    }

    /// Clears refusals by the results of checks: backends that answer take connections again, those
    /// that are down leave their ring.
    pub(super) fn end_refusals(&self, events: &[HealthEvent]) {
        for event in events {
            let is_decided = event.health == Health::Down || event.is_success;
            let service = self.state.service(&event.service);
            let backend = service.and_then(|service| service.backend(event.address));
            if let Some(backend) = backend.filter(|_| is_decided)
                && self.kernel.dataplane.refusals(backend.id) > 0
            {
                self.kernel.dataplane.end_refusals(backend.id);
            }
        }
    }
}

/// Returns the configured backends of these ids.
fn seen<'a>(state: &'a State, ids: &'a BTreeSet<u32>) -> impl Iterator<Item = Seen> {
    state.backends_of(ids).map(|(service, backend): (&Service, &Backend)| {
        let is_probed = service.spec.policy.health.probe != Probe::None;
        Seen {
            service: service.spec.name.clone(),
            address: backend.spec.address,
            id: backend.id,
            is_up: backend.health == Health::Up,
            is_checked: is_probed && backend.is_checked(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u32 = 7;

    #[test]
    fn a_backend_refuses_from_the_threshold_on_until_its_count_falls() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let mut follow = |count| refusals.follow(ID, count, true, now);
        assert_eq!(follow(event::REFUSALS - 1), None);
        assert_eq!(follow(event::REFUSALS), Some(Change::Began));
        assert_eq!(follow(event::REFUSALS + 5), None, "one line a transition");
        assert_eq!(follow(0), Some(Change::Ended));
        assert_eq!(follow(0), None);
    }

    #[test]
    fn only_unchecked_backends_are_retried_by_time_alone() {
        for (is_checked, expected) in [(true, None), (false, Some(Change::Trial))] {
            let (mut refusals, now) = (Refusals::default(), Instant::now());
            refusals.follow(ID, event::REFUSALS, is_checked, now);
            let early = now + TRIAL / 2;
            assert_eq!(refusals.follow(ID, event::REFUSALS, is_checked, early), None);
            let late = now + TRIAL;
            assert_eq!(refusals.follow(ID, event::REFUSALS, is_checked, late), expected);
        }
    }

    #[test]
    fn a_trial_ends_in_recovery_or_in_another_wait() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let mut follow = |count, seconds| {
            refusals.follow(ID, count, false, start + Duration::from_secs(seconds))
        };
        assert_eq!(follow(event::REFUSALS, 0), Some(Change::Began));
        assert_eq!(follow(event::REFUSALS, 10), Some(Change::Trial));
        assert_eq!(follow(TRIAL_COUNT, 11), None, "nobody has come yet");
        assert_eq!(follow(event::REFUSALS, 12), None, "refused again");
        assert_eq!(follow(event::REFUSALS, 21), None);
        assert_eq!(follow(event::REFUSALS, 22), Some(Change::Trial));
        assert_eq!(follow(0, 23), Some(Change::Ended));
    }

    #[test]
    fn refusals_go_on_under_another_id() {
        const OTHER: u32 = ID + 1;
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        refusals.follow(ID, event::REFUSALS, true, now);
        refusals.false_alarms.note(ID, now);
        refusals.renew(&[(ID, OTHER)]);
        assert!(refusals.ids().contains(&OTHER) && !refusals.ids().contains(&ID));
        assert_eq!(refusals.false_alarms.note(OTHER, now), IGNORED * GROWTH);
        refusals.renew(&[(ID, OTHER)]);
        assert!(!refusals.ids().contains(&OTHER), "it was of another time");
    }

    #[test]
    fn refusals_of_healthy_backends_count_less_and_less() {
        let (mut alarms, start) = (FalseAlarms::default(), Instant::now());
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let ignored = [0, 1, 2].map(|minutes| alarms.note(ID, at(minutes)));
        assert_eq!(ignored, [100, 800, 6_400]);
        assert_eq!(alarms.note(ID + 1, at(2)), 100, "each for itself");
        assert_eq!(alarms.note(ID, at(30)), 100, "it was long ago");
        for minutes in 30..60 {
            assert!(alarms.note(ID, at(minutes)) <= MOST_IGNORED);
        }
    }

    #[test]
    fn refusing_backends_are_followed_until_their_refusals_end() {
        let mut refusals = Refusals::default();
        refusals.follow(ID, event::REFUSALS, true, Instant::now());
        assert_eq!(refusals.and(vec![ID + 1]), [ID, ID + 1].into());
        refusals.follow(ID, 0, true, Instant::now());
        assert_eq!(refusals.and(vec![]), [].into());
    }

    #[test]
    fn backends_that_are_gone_are_forgotten() {
        let mut refusals = Refusals::default();
        refusals.follow(ID, event::REFUSALS, true, Instant::now());
        refusals.retain(&BTreeSet::from([ID + 1]));
        assert!(!refusals.ids().contains(&ID));
    }
}
