//! Log of services and backends: one line for each transition.

use std::{collections::BTreeSet, net::SocketAddr, time::Instant};

use jiff::Timestamp;
use lb_model::{Admin, Health};
use log::Level::{self, Debug, Error, Info, Warn};

use super::{
    failover,
    service::{Backend, Service},
    standing::{states_of, up_of},
    state::State,
};

/// Logs the changes of these services.
pub(super) fn log(former: &State, present: &State, touched: &[String]) {
    for service in touched.iter().filter_map(|name| present.service(name)) {
        let name = service.spec.name.as_str();
        for Line { backend, level, text } in transitions(former.service(name), service) {
            match backend {
                Some(backend) => {
                    log::log!(level, service = name, backend:% = backend; "{name}: {text}");
                }
                None => log::log!(level, service = name; "{name}: {text}"),
            }
        }
    }
}

/// A line of the log, without the service's name.
struct Line {
    /// The backend that it is about.
    backend: Option<SocketAddr>,
    level: Level,
    text: String,
}

/// Returns the lines of a service. New services are only logged if no backend takes
/// connections.
fn transitions(former: Option<&Service>, present: &Service) -> Vec<Line> {
    let line = |backend| move |(level, text)| Line { backend, level, text };
    let mut lines = Vec::new();
    for is in &present.backends {
        let Some(was) = former.and_then(|former| former.backend(is.spec.address)) else { continue };
        let of_backend = of_health(was, is, present)
            .into_iter()
            .chain(of_check(was, is))
            .chain(of_route(was, is))
            .chain(of_drain(was, is))
            .chain(of_failback(was, is, present));
        lines.extend(of_backend.map(line(Some(is.spec.address))));
    }
    let backups = former.map(|former| of_backups(former, present)).unwrap_or_default();
    lines.extend(backups.into_iter().map(|(backup, level, text)| Line {
        backend: Some(backup),
        level,
        text,
    }));
    lines.extend(of_service(former.is_some_and(failover::is_out), present).map(line(None)));
    lines
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

/// Returns lines for drains whose deadlines have passed in a period. `left` returns an id's number
/// of connections, which end now.
pub(super) fn of_deadlines(
    state: &State,
    period: &Period,
    left: impl Fn(u32) -> u64,
) -> Vec<(Level, String)> {
    let backends = state
        .services()
        .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)));
    let passed = backends.filter_map(|(service, backend)| {
        let drain = backend.drain?;
        let is_passed = period.after < drain.ends && drain.ends <= period.until;
        is_passed.then_some((service, backend, drain.until))
    });
    let lines = passed.filter_map(|(service, backend, until)| {
        let (level, rest) = match state.ids_of(service, backend).map(&left).sum() {
            0 if until < period.started => return None,
            0 => (Info, "no connections were left".to_owned()),
            1 => (Warn, format!("1 connection is ended: {BY_RESET}")),
            left => (Warn, format!("{left} connections are ended: {BY_RESET}")),
        };
        let (name, address) = (&service.spec.name, backend.spec.address);
        Some((level, format!("{name}: the drain of {address} has reached its deadline: {rest}")))
    });
    lines.collect()
}

fn of_health(was: &Backend, is: &Backend, service: &Service) -> Option<(Level, String)> {
    let level = match is.health {
        health if health == was.health => return None,
        Health::Down => Warn,
        Health::Up => Info,
        Health::Unknown => Debug,
    };
    let Backend { spec, health, detail, .. } = is;
    Some((level, format!("{} is {health}: {detail} ({})", spec.address, up_of(service))))
}

fn of_check(was: &Backend, is: &Backend) -> Option<(Level, String)> {
    let Backend { spec, health, detail, .. } = is;
    let address = spec.address;
    match (was.is_unchecked, is.is_unchecked) {
        (false, true) => {
            Some((Warn, format!("{address} cannot be checked, and stays {health}: {detail}")))
        }
        (true, false) if is.is_checked() => {
            Some((Info, format!("{address} is checked again, and is {health}: {detail}")))
        }
        _ => None,
    }
}

fn of_route(was: &Backend, is: &Backend) -> Option<(Level, String)> {
    let address = is.spec.address;
    match (&was.next_hop, &is.next_hop) {
        (Err(_), Ok(_)) => Some((Info, format!("{address} has a next hop"))),
        (before, Err(reason)) if before.as_ref().err() != Some(reason) => {
            Some((Warn, format!("{address} has no next hop: {reason}")))
        }
        _ => None,
    }
}

fn of_drain(was: &Backend, is: &Backend) -> Option<(Level, String)> {
    let address = is.spec.address;
    let line = match (was.spec.admin == Admin::Draining, is.spec.admin == Admin::Draining) {
        (false, true) => format!("the drain of {address} has started"),
        (true, false) => format!("the drain of {address} has ended: it is {}", is.spec.admin),
        _ => return None,
    };
    Some((Info, line))
}

/// Returns a line if a backend that waited for the operator takes over, as no other can.
fn of_failback(was: &Backend, is: &Backend, service: &Service) -> Option<(Level, String)> {
    let address = is.spec.address;
    let mut others = service.backends.iter().filter(|other| other.spec.address != address);
    let can_any =
        others.any(|one| one.spec.is_enabled() && one.health != Health::Down && !one.held);
    (was.held && !is.held && !can_any)
        .then(|| (Warn, format!("{address} takes over: no other backend can")))
}

fn of_backups(former: &Service, present: &Service) -> Vec<(SocketAddr, Level, String)> {
    let [before, now] = [former, present].map(backups_in_use);
    let joined = now.difference(&before);
    let joined = joined.map(|one| (*one, Warn, format!("backup {one} takes connections")));
    let left = before.difference(&now);
    let left = left.map(|one| (*one, Info, format!("backup {one} no longer takes connections")));
    joined.chain(left).collect()
}

fn of_service(was_out: bool, service: &Service) -> Option<(Level, String)> {
    match (was_out, failover::is_out(service)) {
        (false, true) => Some((
            Error,
            format!("no backend takes connections: new ones are refused ({})", states_of(service)),
        )),
        (true, false) => Some((Info, format!("takes connections again ({})", up_of(service)))),
        _ => None,
    }
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
    use serde_json::json;

    use super::{
        super::{failover::tests::service, service::Deadline, state::tests::state_of},
        *,
    };

    fn told(former: Option<&Service>, present: &Service) -> Vec<(Level, String)> {
        let lines = super::transitions(former, present).into_iter();
        lines.map(|Line { level, text, .. }| (level, text)).collect()
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
            (Some("nn"), "un", vec![(Info, "10.0.0.1:80 is up".to_owned())]),
            (
                Some("uu"),
                "du",
                vec![(
                    Warn,
                    "10.0.0.1:80 is down: not checked yet (1 of 2 backends up)".to_owned(),
                )],
            ),
            (
                Some("du"),
                "uu",
                vec![(Info, "10.0.0.1:80 is up: not checked yet (2 of 2 backends up)".to_owned())],
            ),
            (
                Some("uU"),
                "dU",
                vec![
                    (Warn, "10.0.0.1:80 is down".to_owned()),
                    (Warn, format!("backup {backup} takes connections")),
                ],
            ),
            (
                Some("dU"),
                "uU",
                vec![
                    (Info, "10.0.0.1:80 is up".to_owned()),
                    (Info, format!("backup {backup} no longer takes connections")),
                ],
            ),
            (
                Some("du"),
                "dd",
                vec![
                    (Warn, "10.0.0.2:80 is down".to_owned()),
                    (Error, "no backend takes connections".to_owned()),
                ],
            ),
            (
                Some("dd"),
                "du",
                vec![
                    (Info, "10.0.0.2:80 is up".to_owned()),
                    (Info, "takes connections again (1 of 2 backends up)".to_owned()),
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
    fn a_next_hop_that_is_lost_is_a_warning() {
        let mut lost = service(json!({}), "uu");
        lost.backends[0].next_hop = Err("no route".to_owned());
        let (found, lost) = (service(json!({}), "uu"), lost);
        let warning = (Warn, "10.0.0.1:80 has no next hop: no route".to_owned());
        assert_eq!(told(Some(&found), &lost), [warning]);
        let recovery = (Info, "10.0.0.1:80 has a next hop".to_owned());
        assert_eq!(told(Some(&lost), &found), [recovery]);
    }

    #[test]
    fn a_check_that_cannot_run_is_a_warning() {
        let checked = service(json!({}), "uu");
        let mut unchecked = checked.clone();
        let [first, _] = &mut unchecked.backends[..] else { panic!("two") };
        (first.is_unchecked, first.detail) = (true, "PROCERR why".to_owned());
        let warning = "10.0.0.1:80 cannot be checked, and stays up: PROCERR why".to_owned();
        assert_eq!(told(Some(&checked), &unchecked), [(Warn, warning)]);
        assert_eq!(told(Some(&unchecked), &unchecked), []);
        let recovery = "10.0.0.1:80 is checked again, and is up: not checked yet".to_owned();
        assert_eq!(told(Some(&unchecked), &checked), [(Info, recovery)]);
    }

    #[test]
    fn a_takeover_without_enable_is_a_warning() {
        let mut waiting = service(json!({ "failback": "manual" }), "uD");
        waiting.backends[0].held = true;
        let mut released = waiting.clone();
        released.release();
        let warning = (Warn, "10.0.0.1:80 takes over: no other backend can".to_owned());
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
        assert_eq!(lines, ["10.0.0.1:80 is down: checked (0 of 1 backend up)"]);
        let (_, lines) = after(&unchecked, |state| check(state, Health::Up));
        assert!(lines.contains(&"takes connections again (1 of 1 backend up)".to_owned()));
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
            of_deadlines(&state, &period, |_| left)
        };
        let line =
            |rest: &str| format!("s1: the drain of 10.0.0.1:80 has reached its deadline: {rest}");
        let earlier = Timestamp::UNIX_EPOCH;
        for (left, level, rest) in [
            (0, Info, "no connections were left"),
            (1, Warn, &format!("1 connection is ended: {BY_RESET}")),
            (3, Warn, &format!("3 connections are ended: {BY_RESET}")),
        ] {
            assert_eq!(said(before, left, earlier), [(level, line(rest))]);
        }
        assert_eq!(said(ends, 3, earlier), [], "it has been logged");
        assert_eq!(said(begun, 3, earlier), [], "it has not passed");
        let later = until + SECOND;
        assert_eq!(said(before, 0, later), [], "it passed before the daemon started");
        assert_eq!(
            said(before, 3, later),
            [(Warn, line(&format!("3 connections are ended: {BY_RESET}")))]
        );
    }

    #[test]
    fn a_drain_is_logged_when_it_starts_and_ends() {
        let mut draining = service(json!({}), "uu");
        draining.backends[0].spec.admin = Admin::Draining;
        let enabled = service(json!({}), "uu");
        let started = told(Some(&enabled), &draining);
        assert_eq!(started, [(Info, "the drain of 10.0.0.1:80 has started".to_owned())]);
        let ended = told(Some(&draining), &enabled);
        assert!(matches!(&ended[..], [(Info, line)] if line.contains("ended")), "{ended:?}");
    }
}
