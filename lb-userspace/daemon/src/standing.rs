//! Current state of services and backends, in the words of `service show` and `status`.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use humantime::format_duration;
use lb_model::{Admin, Health};

use super::{
    failover,
    service::{Backend, Service},
};

/// Returns the reason why a backend cannot take new connections, if any. Its service may ignore
/// health checks.
pub(super) fn unusable(backend: &Backend, ignores_health: bool, now: Instant) -> Option<String> {
    match backend.spec.admin {
        Admin::Draining => return Some(drain(backend, now)),
        Admin::Disabled => return Some("disabled".to_owned()),
        Admin::Enabled if backend.spec.weight == 0 => {
            return Some("no new connections: weight 0".to_owned());
        }
        Admin::Enabled => {}
    }
    if let Err(reason) = &backend.next_hop {
        return Some(format!("no next hop: {reason}"));
    }
    match backend.health {
        Health::Unknown => return Some("not checked yet".to_owned()),
        _ if ignores_health => return None,
        Health::Down => return Some("down".to_owned()),
        Health::Up => {}
    }
    backend.held.then(|| "waits for `xdplb backend enable`".to_owned())
}

fn drain(backend: &Backend, now: Instant) -> String {
    let Some(drain) = backend.drain else { return "draining".to_owned() };
    let left = drain.ends.saturating_duration_since(now).as_secs_f64().ceil();
    if left <= 0.0 {
        return "drained: the deadline has passed".to_owned();
    }
    let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
    format!("draining, {} left", format_duration(left))
}

/// Returns the problems of a service.
pub(super) fn warnings(service: &Service) -> Vec<String> {
    let mut warnings: Vec<_> = unchecked(service).into_iter().collect();
    if failover::fails_open(service) {
        warnings.push(BELOW_FAIL_OPEN.to_owned());
    }
    if !service.leaving.is_empty() {
        warnings.push("removed backends take connections until another one is up".to_owned());
    }
    let members: HashSet<_> = service.members().iter().map(|member| member.id).collect();
    let is_member = |one: &&Backend| members.contains(&one.id);
    let backups = service.backends.iter().filter(|one| one.spec.backup).filter(is_member).count();
    if backups > 0 {
        let (noun, verb) = if backups == 1 { ("backup", "takes") } else { ("backups", "take") };
        warnings.push(format!("{backups} {noun} {verb} connections ({})", up_of(service)));
    }
    if members.is_empty() {
        warnings.push(format!(
            "no backend takes connections: new ones are refused ({})",
            states_of(service)
        ));
    }
    warnings
}

const BELOW_FAIL_OPEN: &str = "below fail_open; ignoring health checks";

/// Formats the number of a service's backends that are up.
pub(super) fn up_of(service: &Service) -> String {
    let (up, all) = (up(service), service.backends.len());
    format!("{up} of {all} {} up", noun(all))
}

/// Returns the number of a service's backends that are up.
pub(super) fn up(service: &Service) -> usize {
    service.backends.iter().filter(|one| one.health == Health::Up).count()
}

/// Formats the states of backends that take no connections, as in `2 draining, 1 down`.
pub(super) fn states_of(service: &Service) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for state in service.backends.iter().map(state) {
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    if counts.is_empty() {
        return "it has no backends".to_owned();
    }
    let counts = counts.iter().map(|(state, count)| format!("{count} {state}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn state(backend: &Backend) -> &'static str {
    match (backend.spec.admin, backend.health) {
        (Admin::Draining, _) => "draining",
        (Admin::Disabled, _) => "disabled",
        (Admin::Enabled, _) if backend.spec.weight == 0 => "with weight 0",
        (Admin::Enabled, _) if backend.next_hop.is_err() => "without next hop",
        (Admin::Enabled, Health::Unknown) => "not checked yet",
        (Admin::Enabled, Health::Down) => "down",
        (Admin::Enabled, Health::Up) if backend.held => "waiting for `xdplb backend enable`",
        (Admin::Enabled, Health::Up) => "up",
    }
}

/// Returns a warning if checks cannot run, with the reason of the first one.
fn unchecked(service: &Service) -> Option<String> {
    let unchecked = || service.backends.iter().filter(|backend| backend.is_unchecked);
    let Backend { spec, detail, .. } = unchecked().next()?;
    let (count, all, address) = (unchecked().count(), service.backends.len(), spec.address);
    let (noun, keep) = (noun(all), if count == 1 { "keeps its" } else { "keep their" });
    Some(format!(
        "{count} of {all} {noun} cannot be checked, and {keep} last health: {address}: {detail}"
    ))
}

fn noun(backends: usize) -> &'static str {
    if backends == 1 { "backend" } else { "backends" }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{failover::tests::service, service::Deadline};

    #[test]
    fn a_backend_is_usable_or_the_reason_is_given() {
        let now = Instant::now();
        let of = |settings: serde_json::Value, backends: &str, change: fn(&mut Backend)| {
            let mut service = service(settings, backends);
            change(&mut service.backends[0]);
            unusable(&service.backends[0], failover::fails_open(&service), now)
        };
        for (backends, change, expected) in [
            ("uu", (|_| {}) as fn(&mut Backend), None),
            ("du", |_| {}, Some("down")),
            ("nu", |_| {}, Some("not checked yet")),
            ("uu", |one| one.next_hop = Err("no route".to_owned()), Some("no next hop: no route")),
            ("uu", |one| one.spec.admin = Admin::Disabled, Some("disabled")),
            ("uu", |one| one.spec.admin = Admin::Draining, Some("draining")),
            ("uu", |one| one.spec.weight = 0, Some("no new connections: weight 0")),
            ("uu", |one| one.held = true, Some("waits for `xdplb backend enable`")),
        ] {
            assert_eq!(of(json!({}), backends, change).as_deref(), expected, "{backends}");
        }
        assert_eq!(of(json!({ "fail_open": "60%" }), "du", |_| {}), None, "the check is ignored");
    }

    #[test]
    fn a_drain_shows_the_time_left_and_never_a_past_one() {
        let mut service = service(json!({}), "uu");
        let now = Instant::now();
        let backend = &mut service.backends[0];
        backend.spec.admin = Admin::Draining;
        let ends = now + Duration::from_secs(61);
        backend.drain = Some(Deadline { until: Timestamp::now(), ends });
        let backend = &service.backends[0];
        assert_eq!(unusable(backend, false, now).as_deref(), Some("draining, 1m 1s left"));
        let later = unusable(backend, false, ends + Duration::from_hours(1));
        assert_eq!(later.as_deref(), Some("drained: the deadline has passed"));
    }

    #[test]
    fn a_service_shows_its_problems() {
        for (settings, backends, expected) in [
            (json!({}), "uu", vec![]),
            (json!({}), "dU", vec!["1 backup takes connections (1 of 2 backends up)"]),
            (json!({}), "dd", vec!["no backend takes connections: new ones are refused (2 down)"]),
            (json!({ "fail_open": "60%" }), "du", vec![BELOW_FAIL_OPEN]),
        ] {
            assert_eq!(warnings(&service(settings, backends)), expected, "{backends}");
        }
    }

    #[test]
    fn a_service_that_is_out_shows_the_states_of_its_backends() {
        let mut service = service(json!({}), "uuuduun");
        let backends = &mut service.backends;
        backends[0].spec.admin = Admin::Draining;
        backends[1].spec.admin = Admin::Draining;
        backends[2].spec.weight = 0;
        backends[4].next_hop = Err("no route".to_owned());
        backends[5].held = true;
        let expected = "2 draining, 1 with weight 0, 1 down, 1 without next hop, \
                        1 waiting for `xdplb backend enable`, 1 not checked yet";
        assert_eq!(states_of(&service), expected);
        let warning = format!("no backend takes connections: new ones are refused ({expected})");
        assert_eq!(warnings(&service), [warning]);
        service.backends.clear();
        assert_eq!(states_of(&service), "it has no backends");
    }
}
