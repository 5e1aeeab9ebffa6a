//! Current state of services and backends, in the words of `service show` and `status`.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use humantime::format_duration;

use super::{
    failover,
    service::{Backend, Service},
};
use crate::model::{Admin, Health};

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
            up_of(service)
        ));
    }
    warnings
}

/// Used in the log and in `status`.
pub(super) const BELOW_FAIL_OPEN: &str = "below fail_open; ignoring health checks";

/// Formats the number of a service's backends that are up.
pub(super) fn up_of(service: &Service) -> String {
    let up = service.backends.iter().filter(|one| one.health == Health::Up).count();
    format!("{up} of {} backends up", service.backends.len())
}

/// Returns a warning if checks cannot run, with the reason of the first one.
fn unchecked(service: &Service) -> Option<String> {
    let unchecked = || service.backends.iter().filter(|backend| backend.is_unchecked);
    let Backend { spec, detail, .. } = unchecked().next()?;
    let (count, all, address) = (unchecked().count(), service.backends.len(), spec.address);
    Some(format!(
        "{count} of {all} backends cannot be checked, and keep their last health: {address}: \
         {detail}"
    ))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::daemon::{failover::tests::service, service::Deadline};

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
            (
                json!({}),
                "dd",
                vec!["no backend takes connections: new ones are refused (0 of 2 backends up)"],
            ),
            (json!({ "fail_open": "60%" }), "du", vec![BELOW_FAIL_OPEN]),
        ] {
            assert_eq!(warnings(&service(settings, backends)), expected, "{backends}");
        }
    }
}
