//! Services and their backends.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    ops::Range,
};

use lb_model::{
    Admin, Backend, Failover, Policy, Protocol, Scheduler, Service, Timeouts, Turns, Vip,
};

use super::{address::address_and_port, health::health, periods::check_periods, required};
use crate::{
    diagnostics::{Diagnostic, Findings},
    located::Located,
    schema::{self, Defaults, Idle},
    word,
};

const LONGEST_NAME: usize = 63;

pub(crate) const NO_BACKENDS: &str = "has no backends: its connections are refused";
pub(crate) const ONLY_BACKUPS: &str = "has backups only: they take all its connections";

/// Names of services by VIP.
type Owners<'a> = HashMap<SocketAddr, &'a str>;

pub(crate) fn defaults(defaults: &Defaults, findings: &mut Findings) -> Policy {
    let base = Policy::default();
    Policy {
        health: health(&defaults.health, &base.health, None, findings),
        timeouts: idle(&defaults.timeouts, base.timeouts, findings),
        ..base
    }
}

pub(crate) fn services(
    base: &Policy,
    services: &[Located<schema::Service>],
    findings: &mut Findings,
) -> Vec<Service> {
    let parsed: Vec<_> = services.iter().map(|one| service(one, base, findings)).collect();
    let owners = owners(services, &parsed, findings);
    for service in services {
        refuse_vips(&service.get_ref().backend, &owners, findings);
    }
    for (said, parsed) in services.iter().zip(&parsed) {
        if let Some(warning) = parsed.as_ref().and_then(|service| nobody(said, service)) {
            findings.push(warning);
        }
    }
    parsed.into_iter().flatten().collect()
}

/// Returns a warning if a service has no backends, or only backups.
fn nobody(said: &Located<schema::Service>, service: &Service) -> Option<Diagnostic> {
    let place = said.get_ref().name.as_ref().map_or(said.span(), |name| name.span());
    let name = &service.name;
    if service.backends.is_empty() {
        return Some(Diagnostic::warning(
            place,
            format!("{name} {NO_BACKENDS}"),
            format!("give it [[service.backend]] tables, or `xdplb backend add {name} ADDR`"),
        ));
    }
    if service.backends.iter().all(|backend| backend.weight == 0) {
        return Some(Diagnostic::warning(
            place,
            format!("all backends of {name} have weight 0: its connections are refused"),
            "give those that should take connections a weight from 1 on",
        ));
    }
    has_only_backups(service).then(|| {
        Diagnostic::warning(
            place,
            format!("{name} {ONLY_BACKUPS}"),
            "remove `backup` from those that should be used first",
        )
    })
}

pub(crate) fn has_only_backups(service: &Service) -> bool {
    !service.backends.is_empty() && service.backends.iter().all(|backend| backend.backup)
}

/// Returns a service with the values of `base` where none are set, or None without a valid VIP.
pub(crate) fn service(
    service: &Located<schema::Service>,
    base: &Policy,
    findings: &mut Findings,
) -> Option<Service> {
    let (place, service) = (service.span(), service.get_ref());
    let vip = vip(service.vip.as_ref(), place.clone(), findings);
    let name = name(service.name.as_ref(), "service", place.clone(), findings);
    let owner = service.name.as_ref().map_or(place, |name| name.span());
    let scheduler = service.scheduler.unwrap_or(base.scheduler);
    let policy = Policy {
        mode: service.mode.unwrap_or(base.mode),
        scheduler,
        turns: turns(service.turns.as_ref(), scheduler, base.turns, findings),
        health: health(&service.health, &base.health, Some(owner), findings),
        timeouts: idle(&service.timeouts, base.timeouts, findings),
        failover: failover(service, &base.failover, findings),
    };
    let backends = backends(&service.backend, findings);
    Some(Service { name: name?, vip: vip?, policy, backends })
}

/// Returns the name of a table of this kind.
pub(super) fn name(
    name: Option<&Located<String>>,
    kind: &str,
    table: Range<usize>,
    findings: &mut Findings,
) -> Option<String> {
    let name = required(name, "name", "\"web\"", table, findings)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let text = name.get_ref();
    if text.is_empty() || text.len() > LONGEST_NAME || !text.chars().all(allowed) {
        findings.push(Diagnostic::error(
            name.span(),
            format!("this is not a valid {kind} name"),
            format!("use up to {LONGEST_NAME} letters, digits, dots, underscores and hyphens"),
        ));
    }
    Some(text.clone())
}

fn vip(
    vip: Option<&Located<String>>,
    service: Range<usize>,
    findings: &mut Findings,
) -> Option<Vip> {
    let vip = required(vip, "vip", "\"203.0.113.10:80\"", service, findings)?;
    let text = vip.get_ref();
    let address = match text.split_once('/') {
        None | Some((_, "tcp")) => text.trim_end_matches("/tcp"),
        Some((_, protocol)) => {
            findings.push(Diagnostic::error(
                vip.span(),
                format!("protocol {protocol} is not supported yet"),
                "services use TCP",
            ));
            return None;
        }
    };
    let address = address_and_port(address, vip.span(), findings)?;
    Some(Vip { address, protocol: Protocol::Tcp })
}

/// Returns the kind of turns. Those of a former scheduler end with it.
fn turns(
    turns: Option<&Located<Turns>>,
    scheduler: Scheduler,
    base: Turns,
    findings: &mut Findings,
) -> Turns {
    if scheduler.takes_turns() {
        return turns.map_or(base, |turns| *turns.get_ref());
    }
    if let Some(turns) = turns.filter(|turns| *turns.get_ref() != Turns::default()) {
        findings.push(Diagnostic::error(
            turns.span(),
            format!("the scheduler {} takes no turns", word(&scheduler)),
            "remove `turns`, or give `scheduler = \"round-robin\"`",
        ));
    }
    Turns::default()
}

fn idle(idle: &Idle, base: Timeouts, findings: &mut Findings) -> Timeouts {
    let periods = [&idle.half_open, &idle.established, &idle.closing, &idle.closed];
    check_periods(periods.map(Option::as_ref), findings);
    idle.over(base)
}

fn failover(service: &schema::Service, base: &Failover, findings: &mut Findings) -> Failover {
    let slow_start = service.slow_start.as_ref().filter(|one| !one.get_ref().is_zero());
    check_periods([slow_start], findings);
    if let Some(least) = service.min_active.as_ref().filter(|least| *least.get_ref() == 0) {
        let message = "with a `min_active` of 0 no backup would ever be used";
        findings.push(Diagnostic::error(least.span(), message, "give at least 1, or no backups"));
    }
    service.failover_over(base)
}

fn backends(backends: &[Located<schema::Backend>], findings: &mut Findings) -> Vec<Backend> {
    let mut seen = HashSet::new();
    let mut parsed = Vec::new();
    for backend in backends {
        let (place, backend) = (backend.span(), backend.get_ref());
        let weight = weight(backend.weight.as_ref(), findings);
        let address = backend.address.as_ref();
        let Some(address) = required(address, "address", "\"10.0.0.11:80\"", place, findings)
        else {
            continue;
        };
        let span = address.span();
        let Some(address) = address_and_port(address.get_ref(), span.clone(), findings) else {
            continue;
        };
        if !seen.insert(address) {
            findings.push(Diagnostic::error(
                span,
                format!("backend {address} is given twice"),
                "give it once, with a larger weight for a larger share",
            ));
            continue;
        }
        let (backup, admin) = (backend.backup, Admin::Enabled);
        parsed.push(Backend { address, weight, backup, admin, drain_until: None });
    }
    parsed
}

/// Rejects VIPs as backends, to which packets would loop.
fn refuse_vips(
    backends: &[Located<schema::Backend>],
    owners: &Owners<'_>,
    findings: &mut Findings,
) {
    for said in backends.iter().filter_map(|one| one.get_ref().address.as_ref()) {
        let Ok(address) = said.get_ref().parse() else { continue };
        let Some(owner) = owners.get(&address) else { continue };
        let message = format!("{address} is the VIP of service {owner}");
        let fix = "give the address of a server";
        findings.push(Diagnostic::error(said.span(), message, fix));
    }
}

fn weight(weight: Option<&Located<i64>>, findings: &mut Findings) -> u16 {
    let Some(weight) = weight else { return 1 };
    u16::try_from(*weight.get_ref()).unwrap_or_else(|_| {
        findings.push(Diagnostic::error(
            weight.span(),
            format!("weight {} is out of range", weight.get_ref()),
            "a weight is 0 to 65535",
        ));
        1
    })
}

/// Returns the services by VIP. Names and VIPs must be unique.
fn owners<'a>(
    services: &'a [Located<schema::Service>],
    parsed: &[Option<Service>],
    findings: &mut Findings,
) -> Owners<'a> {
    let mut names = HashSet::new();
    let mut owners = Owners::new();
    for (service, parsed) in services.iter().zip(parsed) {
        let service = service.get_ref();
        let (Some(name), Some(place)) = (&service.name, &service.vip) else { continue };
        if !names.insert(name.get_ref()) {
            let message = format!("two services are named {}", name.get_ref());
            findings.push(Diagnostic::error(name.span(), message, "rename one"));
        }
        let Some(vip) = parsed.as_ref().map(|service| service.vip) else { continue };
        if let Some(other) = owners.insert(vip.address, name.get_ref()) {
            findings.push(Diagnostic::error(
                place.span(),
                format!("VIP {vip} is taken by service {other}"),
                "give each service its own address or port",
            ));
        }
    }
    owners
}
