//! Validation of the file's values.

mod address;
mod connection_log;
mod group;
mod health;
mod http;
mod notify;
mod periods;
mod service;

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    ops::{Range, RangeInclusive},
    path::PathBuf,
};

use lb_model::{Limits, is_of_a_host};

pub(super) use self::{
    connection_log::{MOST_PER_SECOND, connection_log},
    group::{grouped, groups, pair, refuse_ungrouped},
    health::{keys_of, uses},
    http::{http, http_token},
    notify::{MOST_RETRIES, notify},
    service::{NO_BACKENDS, ONLY_BACKUPS, defaults, has_only_backups, service, services},
};
use super::{
    Checks,
    diagnostics::{Diagnostic, Findings, LeftOut},
    located::Located,
    schema,
};

/// Default range, below the ports that Linux uses for its own connections.
const SNAT_PORTS: RangeInclusive<u16> = 1_024..=32_767;

/// Limited, as each is requested from the kernel one after the other.
const MOST_INTERFACES: usize = 128;

pub const MOST_FLOWS: u32 = 16_000_000;
pub(super) const MOST_SERVICES: u32 = 100_000;
pub(super) const MOST_BACKENDS: u32 = 1_000_000;
pub(super) const MOST_RESETS: u32 = 10_000_000;

/// Returns the names in a list of services. An empty list is an error, and a name that is not in the file a
/// warning.
fn names_of_services(
    list: Option<&Located<Vec<Located<String>>>>,
    services: &[Located<schema::Service>],
    findings: &mut Findings,
) -> Vec<String> {
    let Some(list) = list else { return Vec::new() };
    let names = list.get_ref();
    if names.is_empty() {
        let fix = "list some, or remove the key for all services";
        findings.push(Diagnostic::error(list.span(), "no service is listed", fix));
    }
    let known = services.iter().filter_map(|service| service.get_ref().name.as_ref());
    let known: HashSet<_> = known.map(|name| name.get_ref()).collect();
    for name in names.iter().filter(|name| !known.contains(name.get_ref())) {
        let message = "there is no service of this name in this file";
        let fix = "correct the name, unless a command adds the service";
        findings.push(Diagnostic::warning(name.span(), message, fix));
    }
    names.iter().map(|name| name.get_ref().clone()).collect()
}

/// Returns a required key of a table. `owner` is the span of the table.
fn required<'a, T>(
    value: Option<&'a Located<T>>,
    key: &str,
    example: &str,
    owner: Range<usize>,
    findings: &mut Findings,
) -> Option<&'a Located<T>> {
    let left_out = LeftOut { owner: owner.clone(), key: key.to_owned() };
    let is_unread = findings.have_left_out(&left_out) || findings.have_garbled(owner.start);
    if value.is_none() && !is_unread {
        let message = format!("`{key}` is missing");
        let fix = format!("give one, as in {key} = {example}");
        let missing = Diagnostic::error(owner, message, fix);
        findings.push(Diagnostic { left_out: Some(left_out), ..missing });
    }
    value
}

pub(super) fn path(
    path: Option<&Located<PathBuf>>,
    default: &str,
    findings: &mut Findings,
) -> PathBuf {
    let Some(path) = path else { return default.into() };
    if !path.get_ref().is_absolute() {
        let fix = format!("give an absolute path, as in {default:?}");
        findings.push(Diagnostic::error(path.span(), "this is not an absolute path", fix));
    }
    path.get_ref().clone()
}

pub(super) fn interfaces(
    names: Option<&Located<Vec<Located<String>>>>,
    file: Range<usize>,
    findings: &mut Findings,
) -> Vec<String> {
    let example = "[\"eth0\"]";
    let Some(names) = required(names, "interfaces", example, file, findings) else {
        return Vec::new();
    };
    if names.get_ref().is_empty() {
        findings.push(Diagnostic::error(
            names.span(),
            "no interface is listed",
            "list the interfaces towards clients and backends, as in interfaces = [\"eth0\"]",
        ));
    }
    if let Some(first) = names.get_ref().get(MOST_INTERFACES) {
        let message = format!("more than {MOST_INTERFACES} interfaces are listed");
        findings.push(Diagnostic::error(
            first.span(),
            message,
            format!("list {MOST_INTERFACES} at most"),
        ));
    }
    let mut seen = HashSet::new();
    for name in names.get_ref() {
        if !is_interface(name.get_ref()) {
            findings.push(Diagnostic::error(
                name.span(),
                "this is not a valid interface name",
                "`ip link` lists all interfaces",
            ));
        }
        if !seen.insert(name.get_ref()) {
            let message = format!("interface {} is listed twice", name.get_ref());
            findings.push(Diagnostic::error(name.span(), message, "remove one"));
        }
    }
    names.get_ref().iter().map(|name| name.get_ref().clone()).collect()
}

/// Checks a name by the kernel's rules (`dev_valid_name()`).
fn is_interface(name: &str) -> bool {
    let is_refused = |c: char| c.is_whitespace() || "/:".contains(c);
    (1..libc::IFNAMSIZ).contains(&name.len())
        && !name.contains(is_refused)
        && !matches!(name, "." | "..")
}

pub(super) fn snat_ports(
    range: Option<&Located<String>>,
    findings: &mut Findings,
) -> RangeInclusive<u16> {
    let Some(range) = range else {
        return SNAT_PORTS;
    };
    let parsed = range.get_ref().split_once('-').and_then(|(first, last)| {
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (0 < first && first <= last).then_some(first..=last)
    });
    if let Some(parsed) = parsed.as_ref().filter(|parsed| *parsed.start() < *SNAT_PORTS.start()) {
        findings.push(Diagnostic::warning(
            range.span(),
            format!("ports below 1024 are for servers: {} is one of them", parsed.start()),
            "give higher ones, as in snat_ports = \"1024-32767\"",
        ));
    }
    parsed.unwrap_or_else(|| {
        findings.push(Diagnostic::error(
            range.span(),
            "this is not a range of ports",
            "give the first and the last, as in snat_ports = \"1024-32767\"",
        ));
        SNAT_PORTS
    })
}

pub(super) fn snat_addresses(
    addresses: &[Located<String>],
    findings: &mut Findings,
) -> Vec<IpAddr> {
    let (mut parsed, mut seen) = (Vec::new(), HashSet::new());
    for address in addresses {
        match address.get_ref().parse::<Ipv4Addr>() {
            Ok(v4) if !seen.insert(v4) => findings.push(Diagnostic::error(
                address.span(),
                format!("address {v4} is given twice"),
                "remove one",
            )),
            Ok(v4) if is_of_a_host(v4.into()) => parsed.push(v4.into()),
            Ok(v4) => findings.push(Diagnostic::error(
                address.span(),
                format!("{v4} cannot be a host's address"),
                "give one of this host's addresses, as in snat_addresses = [\"10.0.0.2\"]",
            )),
            Err(_) => findings.push(Diagnostic::error(
                address.span(),
                "this is not an IPv4 address",
                "give one of this host's addresses, as in snat_addresses = [\"10.0.0.2\"]",
            )),
        }
    }
    parsed
}

pub(super) fn limits(limits: &schema::Limits, findings: &mut Findings) -> Limits {
    let default = Limits::default();
    let mut limit = |key, given: &Option<Located<u64>>, most, default| {
        let Some(given) = given else { return default };
        match u32::try_from(*given.get_ref()) {
            Ok(count) if (1..=most).contains(&count) => return count,
            _ => findings.push(Diagnostic::error(
                given.span(),
                format!("{} is out of range", given.get_ref()),
                format!("limits.{key} is 1 to {most}"),
            )),
        }
        default
    };
    Limits {
        flows: limit("flows", &limits.flows, MOST_FLOWS, default.flows),
        services: limit("services", &limits.services, MOST_SERVICES, default.services),
        backends: limit("backends", &limits.backends, MOST_BACKENDS, default.backends),
        resets: limit("resets", &limits.resets, MOST_RESETS, default.resets),
        accounting: limits.accounting.as_ref().is_some_and(|is_on| *is_on.get_ref()),
    }
}

/// Returns true if /etc/passwd could have this name.
fn is_account(name: &str) -> bool {
    const LONGEST: usize = 255;
    let is_strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '/');
    (1..=LONGEST).contains(&name.len()) && !name.starts_with('-') && !name.contains(is_strange)
}

pub(super) fn checks(checks: &schema::Checks, findings: &mut Findings) -> Checks {
    let user = checks.user.as_ref();
    let fault = |user: &Located<String>| match user.get_ref().as_str() {
        "root" => Some("programs of checks do not run as root"),
        name if !is_account(name) => Some("this is not a valid user name"),
        _ => None,
    };
    if let Some((user, fault)) = user.and_then(|user| Some((user, fault(user)?))) {
        findings.push(Diagnostic::error(
            user.span(),
            fault,
            "give an unprivileged user, as in user = \"nobody\"",
        ));
    }
    let default = Checks::default();
    let directories = checks.tls_directories.as_ref().map(|list| {
        list.get_ref().iter().map(|one| path(Some(one), "/etc/xdplb/tls", findings)).collect()
    });
    Checks {
        user: user.map_or(default.user, |user| user.get_ref().clone()),
        tls_directories: directories.unwrap_or(default.tls_directories),
    }
}
