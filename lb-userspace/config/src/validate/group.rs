//! Groups of a pair's addresses.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    time::Duration,
};

use lb_model::{Group, Pair, Service, is_of_a_host};

use super::{required, service::name};
use crate::{
    diagnostics::{Diagnostic, Findings},
    located::Located,
    schema,
};

const VIPS: &str = "[\"203.0.113.10\"]";
const SOURCES: &str = "[\"10.0.0.5\"]";

/// Shorter leases run out on a busy machine.
const LEASES: RangeInclusive<Duration> = Duration::from_millis(300)..=Duration::from_mins(1);

/// Groups by their addresses.
type Owners<'a> = HashMap<IpAddr, &'a str>;

pub(crate) fn pair(pair: &schema::Pair, findings: &mut Findings) -> Pair {
    let Some(lease) = &pair.lease else { return Pair::default() };
    if !LEASES.contains(&**lease.get_ref()) {
        let fix = "give 300ms to 1m, as in lease = \"800ms\"";
        findings.push(Diagnostic::error(lease.span(), "this time is out of range", fix));
    }
    Pair { lease: **lease.get_ref() }
}

/// Returns the groups. An address is in one only, and the daemon's own source addresses are in none.
pub(crate) fn groups(
    groups: &[Located<schema::Group>],
    own: &[Located<String>],
    findings: &mut Findings,
) -> Vec<Group> {
    if let Some(first) = groups.get(Group::MOST) {
        let message = format!("there are {} groups", groups.len());
        let fix = format!("give {} at most", Group::MOST);
        findings.push(Diagnostic::error(first.span(), message, fix));
    }
    if let (Some(first), false) = (own.first(), groups.is_empty()) {
        let message = "no service uses these source addresses: all are in groups";
        let fix =
            "remove them: each [[group]] has `snat_addresses` of its own, which belong to no node";
        findings.push(Diagnostic::error(first.span(), message, fix));
    }
    let (mut names, mut owners) = (HashSet::new(), Owners::new());
    let parsed = groups.iter().filter_map(|group| {
        let parsed = parsed(group, &mut owners, findings)?;
        if !names.insert(parsed.name.clone()) {
            let place = group.get_ref().name.as_ref().map_or(group.span(), |name| name.span());
            let message = format!("two groups are named {}", parsed.name);
            findings.push(Diagnostic::error(place, message, "rename one"));
        }
        Some(parsed)
    });
    let parsed: Vec<_> = parsed.collect();
    if owners.len() > Group::MOST_ADDRESSES {
        let place = groups.last().map(|last| last.span()).unwrap_or_default();
        let message = format!("the groups have {} addresses", owners.len());
        let fix = format!("give {} at most", Group::MOST_ADDRESSES);
        findings.push(Diagnostic::error(place, message, fix));
    }
    parsed
}

fn parsed<'a>(
    group: &'a Located<schema::Group>,
    owners: &mut Owners<'a>,
    findings: &mut Findings,
) -> Option<Group> {
    let (place, said) = (group.span(), group.get_ref());
    let name = name(said.name.as_ref(), "group", place.clone(), findings);
    if let Some(said) = said.name.as_ref().filter(|said| said.get_ref().starts_with('-')) {
        let message =
            "the name of a group is an argument of commands: it cannot begin with a hyphen";
        findings.push(Diagnostic::error(said.span(), message, "begin it with a letter"));
    }
    let owner = said.name.as_ref().map_or("", |name| name.get_ref());
    let vips = required(said.vips.as_ref(), "vips", VIPS, place.clone(), findings);
    let vips = vips.map(|list| addresses(list, VIPS, owner, owners, findings));
    let sources = said.snat_addresses.as_ref();
    let sources = required(sources, "snat_addresses", SOURCES, place, findings);
    let sources = sources.map(|list| addresses(list, SOURCES, owner, owners, findings));
    Some(Group { name: name?, vips: vips?, snat_addresses: sources? })
}

fn addresses<'a>(
    list: &'a Located<Vec<Located<String>>>,
    example: &str,
    group: &'a str,
    owners: &mut Owners<'a>,
    findings: &mut Findings,
) -> Vec<IpAddr> {
    if list.get_ref().is_empty() {
        let fix = format!("give some, as in {example}");
        findings.push(Diagnostic::error(list.span(), "no address is listed", fix));
    }
    let mut addresses = Vec::new();
    for said in list.get_ref() {
        let parsed = said.get_ref().parse::<Ipv4Addr>().ok().map(IpAddr::from);
        let Some(address) = parsed.filter(|address| is_of_a_host(*address)) else {
            let message = "this is not an IPv4 address that a host can have";
            let fix = format!("give one without a port, as in {example}");
            findings.push(Diagnostic::error(said.span(), message, fix));
            continue;
        };
        match owners.insert(address, group) {
            None => addresses.push(address),
            Some(other) => findings.push(Diagnostic::error(
                said.span(),
                format!("{address} is an address of group {other} already"),
                "give each address to one group, once",
            )),
        }
    }
    addresses
}

/// Rejects services outside of all groups, if there are any: both nodes would serve them.
pub(crate) fn refuse_ungrouped(
    services: &[Located<schema::Service>],
    parsed: &[Service],
    groups: &[Group],
    findings: &mut Findings,
) {
    let places: HashMap<_, _> = services
        .iter()
        .filter_map(|one| {
            Some((one.get_ref().name.as_ref()?.get_ref(), one.get_ref().vip.as_ref()?))
        })
        .collect();
    for service in parsed {
        let Some(place) = places.get(&service.name) else { continue };
        if let Err((message, fix)) = grouped(service, groups) {
            findings.push(Diagnostic::error(place.span(), message, fix));
        }
    }
}

/// Returns the fault and the fix of a service whose VIP is in none of the groups, if there are any.
pub(crate) fn grouped(service: &Service, groups: &[Group]) -> Result<(), (String, &'static str)> {
    let vip = service.vip.address.ip();
    if groups.is_empty() || groups.iter().any(|group| group.vips.contains(&vip)) {
        return Ok(());
    }
    Err((format!("{vip} is in no group"), "add it to the `vips` of a [[group]]"))
}
