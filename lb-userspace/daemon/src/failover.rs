//! Selection of the backends that take a service's new connections.

use std::time::{Duration, Instant};

use lb_dataplane::ring::{Member, STEPS, gcd};
use lb_model::Health;

use super::{
    clock::Span,
    service::{Backend, Service},
};

/// Time that removed backends stay, in addition to a check's timeout, while others are not checked
/// or resolved yet: longer than the resolution of a neighbour.
const HANDOVER: Duration = Duration::from_secs(10);

/// Returns the backends that take new connections now: all usable ones that are not backups, and
/// backups in order while those are too few. All backends, if so many are down that checks are
/// ignored.
pub(super) fn members(service: &Service, now: Instant) -> Vec<Member> {
    let chosen = chosen(service);
    let chosen = if chosen.is_empty() { service.leaving.iter().collect() } else { chosen };
    let slow_start = service.spec.policy.failover.slow_start;
    let weight = |backend: &Backend| steps(backend, slow_start, now);
    let weights = || chosen.iter().map(|backend| u64::from(weight(backend)));
    let largest = weights().max().unwrap_or(0);
    let is_too_large = largest > u16::MAX.into();
    // Keeps the ratio exact if that is possible, as an inexact one may need a far longer ring.
    let common = if is_too_large { weights().fold(0, gcd).max(1) } else { 1 };
    let divisor = (largest / common).div_ceil(u16::MAX.into()).max(1);
    let shrunk = |weight: u32| {
        u16::try_from((u64::from(weight) / common / divisor).max(1)).unwrap_or(u16::MAX)
    };
    let member = |backend: &Backend| Member {
        id: backend.id,
        address: backend.spec.address,
        weight: shrunk(weight(backend)),
    };
    chosen.into_iter().map(member).collect()
}

/// Returns the configured backends that take new connections.
fn chosen(service: &Service) -> Vec<&Backend> {
    if !fails_open(service) {
        return able(service);
    }
    let tried = |backend: &&Backend| backend.is_usable() && backend.health != Health::Unknown;
    service.backends.iter().filter(tried).collect()
}

/// Returns true if removed backends must stay: no other takes connections yet, but one may soon.
pub(super) fn needs_the_leaving(service: &Service, now: Instant) -> bool {
    let is_in_time = |span: &Span| span.age(now) < HANDOVER + service.spec.policy.health.timeout;
    let is_hopeful =
        |one: &Backend| one.spec.is_enabled() && one.health != Health::Down && !one.held;
    service.handover.as_ref().is_some_and(is_in_time)
        && chosen(service).is_empty()
        && service.backends.iter().any(is_hopeful)
}

/// Returns true if so many backends are down that checks are ignored.
pub(super) fn fails_open(service: &Service) -> bool {
    let usable = service.backends.iter().filter(|backend| backend.is_usable());
    // A backend may be up before its first check, but does not end what went on before.
    let is_hopeful = |health| match health {
        Health::Up => true,
        Health::Unknown => !service.fails_open,
        Health::Down => false,
    };
    let (mut hopeful, mut all) = (0, 0);
    for backend in usable {
        hopeful += u64::from(is_hopeful(backend.health));
        all += 1;
    }
    service.spec.policy.failover.fail_open.exceeds(hopeful, all)
}

/// Returns true if no backend takes connections, and none may soon. A service that was out stays so
/// until a backend takes connections: one that is new may not pass its first check.
pub(super) fn is_out(service: &Service) -> bool {
    let is_hopeless = || !service.backends.iter().any(Backend::is_new);
    members(service, Instant::now()).is_empty() && (service.is_out || is_hopeless())
}

/// Returns true if backends that wait for the operator must take over, because no other can, or may
/// soon. This is not a failback.
pub(super) fn needs_the_held(service: &Service) -> bool {
    let mut others = service.backends.iter().filter(|backend| !backend.held);
    !others.any(|one| one.spec.is_enabled() && one.health != Health::Down)
}

fn able(service: &Service) -> Vec<&Backend> {
    let failover = &service.spec.policy.failover;
    let tier = |backup| service.backends.iter().filter(move |one| one.spec.backup == backup);
    let weight = |backend: &Backend| u64::from(backend.spec.weight);
    let whole: u64 = tier(false).map(weight).sum();
    let mut chosen: Vec<_> = tier(false).filter(|backend| backend.is_able()).collect();
    for backup in tier(true).filter(|backend| backend.is_able()) {
        let share: u64 = chosen.iter().copied().map(weight).sum();
        let are_enough =
            u32::try_from(chosen.len()).is_ok_and(|count| count >= failover.min_active);
        if are_enough && !failover.min_capacity.exceeds(share, whole) {
            break;
        }
        chosen.push(backup);
    }
    chosen
}

/// Returns the current share of a backend's weight, in percent.
pub(super) fn share(service: &Service, backend: &Backend, now: Instant) -> u8 {
    let weight = u32::from(backend.spec.weight) * STEPS;
    let steps = steps(backend, service.spec.policy.failover.slow_start, now);
    u8::try_from(steps * 100 / weight.max(1)).unwrap_or(100)
}

/// Returns a backend's current weight in units of 1/[`STEPS`].
fn steps(backend: &Backend, slow_start: Duration, now: Instant) -> u32 {
    let weight = u32::from(backend.spec.weight);
    let Some(warming) = backend.warming else { return weight * STEPS };
    if slow_start.is_zero() {
        return weight * STEPS;
    }
    let done = warming.age(now).as_secs_f64() / slow_start.as_secs_f64();
    let step = (1..=STEPS).find(|step| done < f64::from(*step) / f64::from(STEPS));
    weight * step.unwrap_or(STEPS)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::remembered::Remembered;
    use lb_health::HealthEvent;
    use lb_model::{Admin, Keys, Policy, Timeouts};

    /// Returns a service with these settings, and backends `1`, `2`… that are `u`p, `d`own or `n`ew
    /// primaries, or `U`p, `D`own or `N`ew backups.
    pub(crate) fn service(settings: serde_json::Value, backends: &str) -> Service {
        let serde_json::Value::Object(mut keys) = settings else { panic!("no object") };
        keys.insert("vip".to_owned(), json!("203.0.113.10:80"));
        let spec = lb_config::service("web", &Keys::from(keys), &Policy::default()).expect("valid");
        let backends = (1..).zip(backends.chars()).map(|(id, kind)| {
            let spec = lb_model::Backend {
                address: ([10, 0, 0, u8::try_from(id).expect("few")], 80).into(),
                weight: 1,
                backup: kind.is_uppercase(),
                admin: Admin::Enabled,
                drain_until: None,
            };
            let health = match kind {
                'u' | 'U' => Health::Up,
                'd' | 'D' => Health::Down,
                _ => Health::Unknown,
            };
            let known = Remembered { health, ..Remembered::nothing() };
            Backend {
                next_hop: Ok(lb_common::backend::Hop::default()),
                ..Backend::new(spec, id, None, known)
            }
        });
        let backends = backends.collect();
        Service::new(Arc::new(spec), 0, backends)
    }

    fn event(address: std::net::SocketAddr, health: Health) -> HealthEvent {
        let (service, detail, at) = ("web".to_owned(), String::new(), Timestamp::now());
        let is_success = health == Health::Up;
        HealthEvent { service, address, health, detail, is_success, was_checked: true, at }
    }

    fn ids(settings: serde_json::Value, backends: &str) -> Vec<u32> {
        let members = members(&service(settings, backends), Instant::now());
        members.into_iter().map(|member| member.id).collect()
    }

    #[test]
    fn a_service_is_out_when_nobody_can_take_its_connections_or_soon_may() {
        for (backends, is_out) in
            [("", true), ("d", true), ("dD", true), ("dU", false), ("du", false), ("dn", false)]
        {
            assert_eq!(super::is_out(&service(json!({}), backends)), is_out, "{backends}");
        }
    }

    #[test]
    fn a_weight_of_0_takes_no_new_connections() {
        let weightless = |backends: &str, places: &[usize]| {
            let mut service = service(json!({ "fail_open": "100%" }), backends);
            for place in places {
                service.backends[*place].spec.weight = 0;
            }
            service
        };
        let ids = |service: &Service| -> Vec<u32> {
            members(service, Instant::now()).into_iter().map(|member| member.id).collect()
        };
        assert_eq!(ids(&weightless("uu", &[0])), [2]);
        assert_eq!(ids(&weightless("uU", &[0])), [2], "the backup takes over");
        assert_eq!(ids(&weightless("uuU", &[2])), [1, 2]);
        let out = weightless("uu", &[0, 1]);
        assert!(ids(&out).is_empty() && super::is_out(&out));
    }

    #[test]
    fn backups_join_one_after_the_other() {
        for (settings, backends, expected) in [
            (json!({}), "uuUU", vec![1, 2]),
            (json!({}), "duUU", vec![2]),
            (json!({}), "ddUU", vec![3]),
            (json!({}), "ddDU", vec![4]),
            (json!({ "min_active": 2 }), "duUU", vec![2, 3]),
            (json!({ "min_active": 3 }), "uuUU", vec![1, 2, 3]),
            (json!({ "min_active": 9 }), "uuUU", vec![1, 2, 3, 4]),
            (json!({ "min_capacity": "50%" }), "udUU", vec![1]),
            (json!({ "min_capacity": "51%" }), "udUU", vec![1, 3]),
            (json!({ "min_capacity": "100%" }), "ddUU", vec![3, 4]),
        ] {
            assert_eq!(ids(settings.clone(), backends), expected, "{settings} {backends}");
        }
    }

    #[test]
    fn checks_that_take_too_many_down_are_ignored() {
        for (fail_open, backends, expected) in [
            ("0%", "dddd", vec![]),
            ("30%", "dddd", vec![1, 2, 3, 4]),
            ("30%", "uddd", vec![1, 2, 3, 4]),
            ("25%", "uddd", vec![1]),
            ("30%", "uudd", vec![1, 2]),
            ("30%", "dddn", vec![1, 2, 3]),
            ("30%", "ddnn", vec![]),
            ("30%", "nnnn", vec![]),
        ] {
            assert_eq!(ids(json!({ "fail_open": fail_open }), backends), expected, "{backends}");
        }
    }

    #[test]
    fn an_unchecked_backend_does_not_end_that_checks_are_ignored() {
        let mut service = service(json!({ "fail_open": "30%" }), "ddn");
        assert!(service.members().is_empty());
        service.fails_open = true;
        let ids = |service: &Service| -> Vec<u32> {
            service.members().iter().map(|member| member.id).collect()
        };
        assert_eq!(ids(&service), [1, 2]);
        service.backends[2].health = Health::Up;
        assert_eq!(ids(&service), [3]);
        service.backends[2].health = Health::Down;
        assert_eq!(ids(&service), [1, 2, 3]);
    }

    #[test]
    fn an_ignored_check_resets_no_connections() {
        for (fail_open, expected) in [("0%", vec![2]), ("60%", vec![1, 2])] {
            let settings = json!({ "on_down": "reset", "fail_open": fail_open });
            let kept = service(settings, "du").expiry(Instant::now()).collect::<Vec<_>>();
            let timeouts = Timeouts::default();
            assert_eq!(kept, expected.into_iter().map(|id| (id, timeouts)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_returning_backend_starts_slowly() {
        let mut service = service(json!({ "slow_start": "10s" }), "du");
        let address = service.backends[0].spec.address;
        assert!(service.apply_health(vec![event(address, Health::Up)]));
        assert!(service.backends[0].warming.is_some());
        let since = Instant::now();
        for (seconds, weights) in [(0, [1, 10]), (5, [6, 10]), (9, [10, 10]), (11, [10, 10])] {
            let now = since + Duration::from_secs(seconds);
            let members = members(&service, now);
            assert_eq!(members.iter().map(|member| member.weight).collect::<Vec<_>>(), weights);
        }
        service.warm(since + Duration::from_secs(10));
        assert!(!service.is_in_transition());
    }

    #[test]
    fn large_weights_keep_their_ratio() {
        let mut service = service(json!({}), "uu");
        for (backend, weight) in service.backends.iter_mut().zip([40_000, 30_000]) {
            backend.spec.weight = weight;
        }
        let weights: Vec<_> = service.members().iter().map(|member| member.weight).collect();
        assert_eq!(weights, [4, 3], "a ring of 7 slots");
    }

    #[test]
    fn a_replaced_backend_waits_for_the_operator() {
        let mut service = service(json!({ "failback": "manual" }), "uU");
        let address = service.backends[0].spec.address;
        for (health, expected) in [(Health::Down, 2), (Health::Up, 2)] {
            service.apply_health(vec![event(address, health)]);
            assert_eq!(service.members()[0].id, expected);
        }
        service.backends[0].held = false;
        assert_eq!(service.members()[0].id, 1);
    }

    #[test]
    fn a_waiting_backend_takes_over_when_no_other_can() {
        for (backup, takes_over) in [('U', false), ('N', false), ('D', true)] {
            let backends = format!("u{backup}");
            let mut service = service(json!({ "failback": "manual" }), &backends);
            service.backends[0].held = true;
            service.release();
            assert_eq!(service.backends[0].is_able(), takes_over, "{backends}");
        }
    }

    #[test]
    fn a_disabled_backend_is_checked_before_it_returns() {
        let ordered = |backend: Backend, admin| {
            let spec = lb_model::Backend { admin, ..backend.spec.clone() };
            backend.with_spec(spec)
        };
        for (order, is_able) in [(Admin::Draining, true), (Admin::Disabled, false)] {
            let backend = service(json!({}), "u").backends.remove(0);
            let back = ordered(ordered(backend, order), Admin::Enabled);
            assert_eq!(back.is_able(), is_able, "{order}");
            assert!(back.warming.is_some(), "{order}");
        }
    }

    #[test]
    fn a_backend_that_is_down_keeps_waiting_for_the_operator() {
        let mut service = service(json!({ "failback": "manual" }), "dD");
        service.backends[0].held = true;
        service.release();
        assert!(service.backends[0].held);
    }
}
