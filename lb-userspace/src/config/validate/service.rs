//! Services and their backends.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    ops::RangeInclusive,
    time::Duration,
};

use serde_spanned::Spanned;

use super::{Findings, address::address_and_port, health::health};
use crate::{
    config::{
        diagnostics::Diagnostic,
        schema::{self, Defaults, Idle, Period},
    },
    model::{Admin, Backend, Failover, Mode, Policy, Protocol, Scheduler, Service, Timeouts, Vip},
};

const LONGEST_NAME: usize = 63;

/// The longest is well within the 26 days that the flow table's clock can tell apart.
const PERIODS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(7 * 24);

/// The services' names, by their VIPs.
type Owners<'a> = HashMap<SocketAddr, &'a str>;

pub(in crate::config) fn defaults(defaults: &Defaults, findings: &mut Findings) -> Policy {
    let base = Policy::default();
    Policy {
        health: health(&defaults.health, &base.health, None, findings),
        timeouts: idle(&defaults.timeouts, base.timeouts, findings),
        ..base
    }
}

pub(in crate::config) fn services(
    base: &Policy,
    services: &[schema::Service],
    findings: &mut Findings,
) -> Vec<Service> {
    let parsed: Vec<_> = services.iter().map(|one| service(one, base, findings)).collect();
    let owners = owners(services, &parsed, findings);
    for (service, parsed) in services.iter().zip(&parsed) {
        refuse_vips(&service.backend, parsed.as_ref(), &owners, findings);
    }
    parsed.into_iter().flatten().collect()
}

/// One service, with what it does not say from `base`. Nothing if it has no valid VIP.
pub(in crate::config) fn service(
    service: &schema::Service,
    base: &Policy,
    findings: &mut Findings,
) -> Option<Service> {
    let vip = vip(&service.vip, findings);
    let name = name(&service.name, findings);
    let policy = Policy {
        mode: mode(service.mode.as_ref(), base.mode, findings),
        scheduler: scheduler(service.scheduler.as_ref(), base.scheduler, findings),
        health: health(&service.health, &base.health, Some(service.name.span()), findings),
        timeouts: idle(&service.timeouts, base.timeouts, findings),
        failover: failover(service, &base.failover, findings),
    };
    let backends = backends(&service.backend, findings);
    Some(Service { name, vip: vip?, policy, backends })
}

fn name(name: &Spanned<String>, findings: &mut Findings) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let text = name.get_ref();
    if text.is_empty() || text.len() > LONGEST_NAME || !text.chars().all(allowed) {
        findings.push(Diagnostic::error(
            name.span(),
            "this cannot be a service's name",
            format!("use up to {LONGEST_NAME} letters, digits, dots, underscores and hyphens"),
        ));
    }
    text.clone()
}

fn vip(vip: &Spanned<String>, findings: &mut Findings) -> Option<Vip> {
    let text = vip.get_ref();
    let address = match text.split_once('/') {
        None | Some((_, "tcp")) => text.trim_end_matches("/tcp"),
        Some((_, protocol)) => {
            findings.push(Diagnostic::error(
                vip.span(),
                format!("protocol {protocol} is not supported yet"),
                "services are TCP",
            ));
            return None;
        }
    };
    let address = address_and_port(address, vip.span(), findings)?;
    Some(Vip { address, protocol: Protocol::Tcp })
}

fn mode(mode: Option<&Spanned<String>>, base: Mode, findings: &mut Findings) -> Mode {
    if let Some(mode) = mode.filter(|mode| mode.get_ref() != "nat") {
        let message = format!("mode {} is not supported", mode.get_ref());
        findings.push(Diagnostic::error(mode.span(), message, "the mode is \"nat\""));
    }
    base
}

fn scheduler(
    scheduler: Option<&Spanned<String>>,
    base: Scheduler,
    findings: &mut Findings,
) -> Scheduler {
    let Some(scheduler) = scheduler else { return base };
    match scheduler.get_ref().as_str() {
        "round-robin" => Scheduler::RoundRobin,
        "least-connections" => Scheduler::LeastConnections,
        "maglev" => Scheduler::Maglev,
        "source-hash" => Scheduler::SourceHash,
        "random" => Scheduler::Random,
        other => {
            findings.push(Diagnostic::error(
                scheduler.span(),
                format!("there is no scheduler {other}"),
                "use \"round-robin\", \"least-connections\", \"maglev\", \"source-hash\" or \
                 \"random\"",
            ));
            base
        }
    }
}

fn idle(idle: &Idle, base: Timeouts, findings: &mut Findings) -> Timeouts {
    check_periods([&idle.half_open, &idle.established, &idle.closing, &idle.closed], findings);
    idle.over(base)
}

fn failover(service: &schema::Service, base: &Failover, findings: &mut Findings) -> Failover {
    check_periods([&service.slow_start], findings);
    service.failover_over(base)
}

pub(super) fn check_periods<const N: usize>(
    periods: [&Option<Period>; N],
    findings: &mut Findings,
) {
    for period in periods.into_iter().flatten() {
        if !PERIODS.contains(&**period.get_ref()) {
            findings.push(Diagnostic::error(
                period.span(),
                "this time is out of range",
                "give 1ms to 7d, as in \"500ms\", \"2s\" or \"3h\"",
            ));
        }
    }
}

fn backends(backends: &[schema::Backend], findings: &mut Findings) -> Vec<Backend> {
    let mut seen = HashSet::new();
    let mut parsed = Vec::new();
    for backend in backends {
        let span = backend.address.span();
        let weight = weight(backend.weight.as_ref(), findings);
        let Some(address) = address_and_port(backend.address.get_ref(), span.clone(), findings)
        else {
            continue;
        };
        if !seen.insert(address) {
            findings.push(Diagnostic::error(
                span,
                format!("backend {address} is given twice"),
                "give it once, with a larger weight if it is to have a larger share",
            ));
            continue;
        }
        let (backup, admin) = (backend.backup, Admin::Enabled);
        parsed.push(Backend { address, weight, backup, admin, drain_until: None });
    }
    parsed
}

/// Packets to a backend that is a VIP would go round in circles.
fn refuse_vips(
    backends: &[schema::Backend],
    parsed: Option<&Service>,
    owners: &Owners<'_>,
    findings: &mut Findings,
) {
    for backend in parsed.iter().flat_map(|service| &service.backends) {
        let address = backend.address;
        let Some(owner) = owners.get(&address) else { continue };
        let said = |one: &&schema::Backend| one.address.get_ref().parse() == Ok(address);
        let span = backends.iter().find(said).map(|one| one.address.span()).unwrap_or_default();
        let message = format!("{address} is the VIP of service {owner}");
        findings.push(Diagnostic::error(span, message, "a backend must be a server behind it"));
    }
}

fn weight(weight: Option<&Spanned<i64>>, findings: &mut Findings) -> u16 {
    let Some(weight) = weight else { return 1 };
    match u16::try_from(*weight.get_ref()) {
        Ok(valid) if valid > 0 => valid,
        Ok(_) => {
            findings.push(Diagnostic::error(
                weight.span(),
                "a weight of 0 gives no share",
                "remove the backend, or drain it with `xdplb backend drain`",
            ));
            1
        }
        Err(_) => {
            findings.push(Diagnostic::error(
                weight.span(),
                format!("weight {} is out of range", weight.get_ref()),
                "a weight is 1 to 65535",
            ));
            1
        }
    }
}

/// Who has which VIP. No two services may have one name or one VIP.
fn owners<'a>(
    services: &'a [schema::Service],
    parsed: &[Option<Service>],
    findings: &mut Findings,
) -> Owners<'a> {
    let mut names = HashSet::new();
    let mut owners = Owners::new();
    for (service, parsed) in services.iter().zip(parsed) {
        let name = service.name.get_ref().as_str();
        if !names.insert(name) {
            let message = format!("two services are named {name}");
            findings.push(Diagnostic::error(service.name.span(), message, "rename one"));
        }
        let Some(vip) = parsed.as_ref().map(|service| service.vip) else { continue };
        if let Some(other) = owners.insert(vip.address, name) {
            findings.push(Diagnostic::error(
                service.vip.span(),
                format!("VIP {vip} is that of service {other} already"),
                "give each service its own address or port",
            ));
        }
    }
    owners
}
