//! Transitions of services and backends.

use std::{collections::BTreeSet, net::SocketAddr, time::Instant};

use jiff::Timestamp;
use lb_model::{Admin, Event, EventKey, Health};
use lb_notify::Transition;
use log::Level;

use super::{
    failover,
    service::{Backend, Service},
    standing::{self, states_of},
    state::State,
};

/// Returns the transitions of these services.
pub(super) fn between(former: &State, present: &State, touched: &[String]) -> Vec<Transition> {
    let services = touched.iter().filter_map(|name| present.service(name));
    services.flat_map(|service| of(former.service(&service.spec.name), service)).collect()
}

/// Returns the transitions of a service. A new one has some only if no backend takes connections.
fn of(former: Option<&Service>, present: &Service) -> Vec<Transition> {
    let mut transitions = Vec::new();
    for is in &present.backends {
        let Some(was) = former.and_then(|former| former.backend(is.spec.address)) else { continue };
        let of_backend = of_health(was, is, present)
            .into_iter()
            .chain(of_check(was, is, present))
            .chain(of_route(was, is, present))
            .chain(of_drain(was, is, present))
            .chain(of_failback(was, is, present));
        transitions.extend(of_backend);
    }
    transitions.extend(former.into_iter().flat_map(|former| of_backups(former, present)));
    transitions.extend(of_service(former.is_some_and(failover::is_out), present));
    transitions
}

/// Adds the service and its backend.
pub(super) fn about(transition: Transition, service: &str, backend: SocketAddr) -> Transition {
    transition.with(EventKey::Service, service).with(EventKey::Backend, backend.to_string())
}

fn of_backend(transition: Transition, service: &Service, backend: &Backend) -> Transition {
    about(transition, &service.spec.name, backend.spec.address)
}

/// Adds how many of the service's backends are up.
fn with_numbers(transition: Transition, service: &Service) -> Transition {
    transition
        .with(EventKey::Up, standing::up(service))
        .with(EventKey::Backends, service.backends.len())
}

/// End of a connection whose entries are removed.
const BY_RESET: &str = "the next packet of either side is answered by a reset";

/// A period in which deadlines of drains are logged.
pub(super) struct Period {
    pub(super) after: Instant,
    pub(super) until: Instant,
    /// Start of the daemon. A deadline before that is only logged if connections are left.
    pub(super) started: Timestamp,
}

/// Returns the drains whose deadlines have passed in a period. `left` returns an id's number of connections,
/// which end now.
pub(super) fn of_deadlines(
    state: &State,
    period: &Period,
    left: impl Fn(u32) -> u64,
) -> Vec<Transition> {
    let backends = state
        .services()
        .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)));
    let passed = backends.filter_map(|(service, backend)| {
        let drain = backend.drain?;
        let is_passed = period.after < drain.ends && drain.ends <= period.until;
        is_passed.then_some((service, backend, drain.until))
    });
    let transitions = passed.filter_map(|(service, backend, until)| {
        let left = state.ids_of(service, backend).map(&left).sum::<u64>();
        let passed = match left {
            0 if until < period.started => return None,
            0 => Transition::new(Event::DrainDeadline).at(Level::Info),
            _ => Transition::new(Event::DrainDeadline),
        };
        let passed = of_backend(passed, service, backend).with(EventKey::Connections, left);
        Some(if left > 0 { passed.with(EventKey::Reason, BY_RESET) } else { passed })
    });
    transitions.collect()
}

fn of_health(was: &Backend, is: &Backend, service: &Service) -> Vec<Transition> {
    let change = match is.health {
        health if health == was.health => return Vec::new(),
        Health::Down => Transition::new(Event::BackendDown),
        Health::Up => {
            let is_first = was.health == Health::Unknown && !was.was_down;
            Transition::new(Event::BackendUp).expected(is_first)
        }
        Health::Unknown => return Vec::new(),
    };
    let change = of_backend(change, service, is).with(EventKey::Reason, is.detail.as_str());
    let held = (is.health == Health::Up && is.held)
        .then(|| of_backend(Transition::new(Event::BackendHeld), service, is));
    [with_numbers(change, service)].into_iter().chain(held).collect()
}

fn of_check(was: &Backend, is: &Backend, service: &Service) -> Option<Transition> {
    let change = match (was.is_unchecked, is.is_unchecked) {
        (false, true) => Transition::new(Event::BackendUnchecked),
        (true, false) if is.is_checked() => Transition::new(Event::BackendChecked),
        _ => return None,
    };
    Some(of_backend(change, service, is).with(EventKey::Reason, is.detail.as_str()))
}

fn of_route(was: &Backend, is: &Backend, service: &Service) -> Option<Transition> {
    match (&was.next_hop, &is.next_hop) {
        (Err(_), Ok(_)) => {
            let reachable = Transition::new(Event::BackendReachable).expected(was.is_unresolved());
            Some(of_backend(reachable, service, is))
        }
        (before, Err(reason)) if before.as_ref().err() != Some(reason) => {
            let unreachable = of_backend(Transition::new(Event::BackendUnreachable), service, is);
            Some(unreachable.with(EventKey::Reason, reason.as_str()))
        }
        _ => None,
    }
}

fn of_drain(was: &Backend, is: &Backend, service: &Service) -> Option<Transition> {
    match (was.spec.admin == Admin::Draining, is.spec.admin == Admin::Draining) {
        (false, true) => Some(of_backend(Transition::new(Event::DrainStarted), service, is)),
        (true, false) => {
            let ended = of_backend(Transition::new(Event::DrainEnded), service, is);
            Some(ended.with(EventKey::Admin, is.spec.admin.to_string()))
        }
        _ => None,
    }
}

/// Returns a transition if a backend that waited for the operator takes over, as no other can.
fn of_failback(was: &Backend, is: &Backend, service: &Service) -> Option<Transition> {
    let address = is.spec.address;
    let mut others = service.backends.iter().filter(|other| other.spec.address != address);
    let can_any =
        others.any(|one| one.spec.is_enabled() && one.health != Health::Down && !one.held);
    (was.held && !is.held && !can_any)
        .then(|| of_backend(Transition::new(Event::BackendTakeover), service, is))
}

fn of_backups(former: &Service, present: &Service) -> Vec<Transition> {
    let name = &present.spec.name;
    let [before, now] = [former, present].map(backups_in_use);
    let joined = now.difference(&before);
    let joined = joined.map(|one| about(Transition::new(Event::BackupUsed), name, *one));
    let left = before.difference(&now);
    let left = left.map(|one| about(Transition::new(Event::BackupUnused), name, *one));
    joined.chain(left).collect()
}

fn of_service(was_out: bool, service: &Service) -> Option<Transition> {
    let change = match (was_out, failover::is_out(service)) {
        (false, true) => Transition::new(Event::ServiceDown),
        (true, false) => Transition::new(Event::ServiceUp),
        _ => return None,
    };
    let change = change.with(EventKey::Service, service.spec.name.as_str());
    Some(match change.event {
        Event::ServiceDown => change.with(EventKey::Reason, states_of(service)),
        _ => with_numbers(change, service),
    })
}

fn backups_in_use(service: &Service) -> BTreeSet<SocketAddr> {
    let members: BTreeSet<_> = service.members().into_iter().map(|member| member.address).collect();
    let backups = service.backends.iter().filter(|backend| backend.spec.backup);
    backups.map(|backup| backup.spec.address).filter(|one| members.contains(one)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lb_common::backend::Hop;
    use lb_config::desired::Document;
    use log::Level::{self, Error, Info, Warn};
    use serde_json::json;

    use super::{
        super::{failover::tests::service, service::Deadline, state::tests::state_of},
        *,
    };

    /// Returns levels and lines, without the service's name.
    fn told(former: Option<&Service>, present: &Service) -> Vec<(Level, String)> {
        super::of(former, present).iter().map(shown).collect()
    }

    fn shown(transition: &Transition) -> (Level, String) {
        (transition.level, transition.line().replace(" service=web", "").replace(" service=s1", ""))
    }

    fn lines(before: Option<&str>, now: &str) -> Vec<(Level, String)> {
        let before = before.map(|backends| service(json!({}), backends));
        told(before.as_ref(), &service(json!({}), now))
    }

    #[test]
    fn each_transition_has_one_line_and_its_level() {
        let backup = "10.0.0.2:80";
        for (before, now, expected) in [
            (Some("uu"), "uu", vec![]),
            (Some("nn"), "un", vec![(Info, "backend is up backend=10.0.0.1:80 reason=\"not checked yet\" up=1 backends=2".to_owned())]),
            (
                Some("uu"),
                "du",
                vec![(
                    Warn,
                    "backend is down backend=10.0.0.1:80 reason=\"not checked yet\" up=1 backends=2".to_owned(),
                )],
            ),
            (
                Some("du"),
                "uu",
                vec![(Info, "backend is up backend=10.0.0.1:80 reason=\"not checked yet\" up=2 backends=2".to_owned())],
            ),
            (
                Some("uU"),
                "dU",
                vec![
                    (Warn, "backend is down backend=10.0.0.1:80".to_owned()),
                    (Warn, format!("backup takes connections backend={backup}")),
                ],
            ),
            (
                Some("dU"),
                "uU",
                vec![
                    (Info, "backend is up backend=10.0.0.1:80".to_owned()),
                    (Info, format!("backup no longer takes connections backend={backup}")),
                ],
            ),
            (
                Some("du"),
                "dd",
                vec![
                    (Warn, "backend is down backend=10.0.0.2:80".to_owned()),
                    (Error, "no backend takes connections: new ones are refused reason=\"2 down\"".to_owned()),
                ],
            ),
            (
                Some("dd"),
                "du",
                vec![
                    (Info, "backend is up backend=10.0.0.2:80".to_owned()),
                    (Info, "service takes connections again up=1 backends=2".to_owned()),
                ],
            ),
            (None, "nn", vec![]),
            (None, "", vec![(Error, "no backend takes connections".to_owned())]),
        ] {
            let found = lines(before, now);
            assert_eq!(found.len(), expected.len(), "{before:?} {now}: {found:?}");
            for ((level, line), (expected, start)) in found.iter().zip(&expected) {
                assert!(level == expected && line.starts_with(start), "{level} {line}: {start}");
            }
        }
    }

    #[test]
    fn how_something_new_turns_out_notifies_nobody_unless_it_is_bad() {
        let expected = |former: &Service, present: &Service| -> Vec<bool> {
            super::of(Some(former), present).iter().map(Transition::is_expected).collect()
        };
        let of = |backends| service(json!({}), backends);
        assert_eq!(expected(&of("nu"), &of("uu")), [true], "a first check that succeeds");
        assert_eq!(expected(&of("nu"), &of("du")), [false], "a first check that fails");
        assert_eq!(expected(&of("du"), &of("uu")), [false], "a recovery");
        let mut disabled = of("du");
        disabled.backends[0].set_health(Health::Down, String::new());
        disabled.backends[0].set_health(Health::Unknown, "not checked".to_owned());
        assert_eq!(expected(&disabled, &of("uu")), [false], "a recovery while it was disabled");
    }

    #[test]
    fn a_backend_that_waits_for_the_operator_is_logged() {
        let mut up = service(json!({ "failback": "manual" }), "uU");
        up.backends[0].held = true;
        let mut down = service(json!({ "failback": "manual" }), "dU");
        down.backends[0].held = true;
        let held = "backend waits for `xdplb backend enable` backend=10.0.0.1:80".to_owned();
        assert!(told(Some(&down), &up).contains(&(Info, held)));
    }

    #[test]
    fn a_next_hop_that_is_lost_is_a_warning() {
        let mut lost = service(json!({}), "uu");
        lost.backends[0].next_hop = Err("no route".to_owned());
        let (found, lost) = (service(json!({}), "uu"), lost);
        let warning =
            (Warn, "backend has no next hop backend=10.0.0.1:80 reason=\"no route\"".to_owned());
        assert_eq!(told(Some(&found), &lost), [warning]);
        let recovery = (Info, "backend has a next hop backend=10.0.0.1:80".to_owned());
        assert_eq!(told(Some(&lost), &found), [recovery]);
    }

    #[test]
    fn a_check_that_cannot_run_is_a_warning() {
        let checked = service(json!({}), "uu");
        let mut unchecked = checked.clone();
        let [first, _] = &mut unchecked.backends[..] else { panic!("two") };
        (first.is_unchecked, first.detail) = (true, "PROCERR why".to_owned());
        let warning = "backend cannot be checked, and keeps its health backend=10.0.0.1:80 reason=\"PROCERR why\"".to_owned();
        assert_eq!(told(Some(&checked), &unchecked), [(Warn, warning)]);
        assert_eq!(told(Some(&unchecked), &unchecked), []);
        let recovery =
            "backend is checked again backend=10.0.0.1:80 reason=\"not checked yet\"".to_owned();
        assert_eq!(told(Some(&unchecked), &checked), [(Info, recovery)]);
    }

    #[test]
    fn a_takeover_without_enable_is_a_warning() {
        let mut waiting = service(json!({ "failback": "manual" }), "uD");
        waiting.backends[0].held = true;
        let mut released = waiting.clone();
        released.release();
        let warning = (Warn, "backend takes over: no other can backend=10.0.0.1:80".to_owned());
        assert!(told(Some(&waiting), &released).contains(&warning));
    }

    #[test]
    fn a_drain_of_the_last_usable_backend_is_an_error() {
        let before = service(json!({}), "ud");
        let mut drained = before.clone();
        drained.backends[0].spec.admin = Admin::Draining;
        let lines = told(Some(&before), &drained);
        assert!(lines.iter().any(|(level, _)| *level == Error), "{lines:?}");
    }

    /// Returns a state, and the lines of the changes that lead to it from another one.
    fn after(former: &State, change: impl FnOnce(&mut State)) -> (State, Vec<String>) {
        let mut state = former.clone();
        change(&mut state);
        let lines = told(former.service("s1"), state.service("s1").expect("there"));
        (state, lines.into_iter().map(|(_, line)| line).collect())
    }

    #[test]
    fn a_service_recovers_when_a_backend_has_passed_its_check() {
        let enabled = state_of(&[1]);
        let spec = |state: &State, admin| {
            let service = state.service("s1").expect("there");
            let mut spec = lb_model::Service::clone(&service.spec);
            spec.backends[0].admin = admin;
            Document::of([spec])
        };
        let order = |state: &mut State, admin| {
            let [before, now] = [
                spec(state, state.service("s1").expect("there").backends[0].spec.admin),
                spec(state, admin),
            ];
            state.follow(&now.since(&before)).expect("room");
        };
        let check = |state: &mut State, health| {
            state.change_backend("s1", ([10, 0, 0, 1], 80).into(), |one| {
                one.next_hop = Ok(Hop::new([2; 6], [4; 6], 1));
                one.set_health(health, "checked".to_owned());
            });
        };
        let (up, _) = after(&enabled, |state| check(state, Health::Up));
        let (out, lines) = after(&up, |state| order(state, Admin::Disabled));
        assert!(lines.iter().any(|line| line.starts_with("no backend takes")), "{lines:?}");
        let (unchecked, lines) = after(&out, |state| order(state, Admin::Enabled));
        assert_eq!(lines, [""; 0], "it has not been checked yet");
        let (_, lines) = after(&unchecked, |state| check(state, Health::Down));
        assert_eq!(lines, ["backend is down backend=10.0.0.1:80 reason=checked up=0 backends=1"]);
        let (_, lines) = after(&unchecked, |state| check(state, Health::Up));
        assert!(lines.contains(&"service takes connections again up=1 backends=1".to_owned()));
    }

    #[test]
    fn a_deadline_is_logged_once_with_the_connections_left() {
        const SECOND: Duration = Duration::from_secs(1);
        let (mut state, begun, until) = (state_of(&[1]), Instant::now(), Timestamp::now());
        let (before, ends) = (begun + SECOND, begun + 2 * SECOND);
        let address = ([10, 0, 0, 1], 80).into();
        state.change_backend("s1", address, |one| one.drain = Some(Deadline { until, ends }));
        let said = |after: Instant, left: u64, started: Timestamp| {
            let period = Period { after, until: after + SECOND, started };
            of_deadlines(&state, &period, |_| left).iter().map(shown).collect::<Vec<_>>()
        };
        let line = |rest: &str| {
            format!("drain has reached its deadline backend=10.0.0.1:80 connections={rest}")
        };
        let ended = |count| format!("{count} reason=\"{BY_RESET}\"");
        let earlier = Timestamp::UNIX_EPOCH;
        for (left, level, rest) in [(0, Info, "0"), (1, Warn, &ended(1)), (3, Warn, &ended(3))] {
            assert_eq!(said(before, left, earlier), [(level, line(rest))]);
        }
        assert_eq!(said(ends, 3, earlier), [], "it has been logged");
        assert_eq!(said(begun, 3, earlier), [], "it has not passed");
        let later = until + SECOND;
        assert_eq!(said(before, 0, later), [], "it passed before the daemon started");
        assert_eq!(said(before, 3, later), [(Warn, line(&ended(3)))]);
    }

    #[test]
    fn a_drain_is_logged_when_it_starts_and_ends() {
        let mut draining = service(json!({}), "uu");
        draining.backends[0].spec.admin = Admin::Draining;
        let enabled = service(json!({}), "uu");
        let started = told(Some(&enabled), &draining);
        assert_eq!(started, [(Info, "drain has started backend=10.0.0.1:80".to_owned())]);
        let ended = told(Some(&draining), &enabled);
        assert!(
            matches!(&ended[..], [(Info, line)] if line.contains("ended backend=10.0.0.1:80 admin=enabled")),
            "{ended:?}"
        );
    }
}
