//! Faults of the other ends of veth pairs.

use lb_host::printable;
use lb_model::XdpMode;

use crate::{
    check::{Check, Find},
    facts::{Peer, Site},
    report::{Cases, Severity},
};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "veth-peer-without-xdp",
        severity: Severity::Problem,
        meaning: "The other end of a veth pair has no XDP program, and drops what the balancer \
            sends back by the same interface.",
        find: Find::OnSite(without_program),
    },
    Check {
        id: "veth-peer-checksums",
        severity: Severity::Problem,
        meaning: "The other end of a veth pair leaves checksums to hardware that does not exist, \
            and they are forwarded incomplete.",
        find: Find::OnSite(checksums),
    },
];

/// The other end of a veth pair, where it is seen.
struct End<'a> {
    /// Name of this end.
    here: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
    has_native_program: bool,
    leaves_checksums: bool,
}

/// Returns the other ends of all veth pairs.
fn ends<'a>(site: &'a Site, cases: &mut Cases<'_>) -> Vec<End<'a>> {
    let pairs = site.links.iter().filter_map(|link| Some((link.name(), link.peer.as_ref()?)));
    let ends = pairs.filter_map(|(here, peer)| match peer {
        Peer::Hidden(reason) => {
            cases.skip(here, &format!("the other end of the veth pair: {reason}"));
            None
        }
        Peer::Seen { name, namespace, has_native_program, leaves_checksums } => Some(End {
            here,
            name,
            namespace: namespace.as_deref(),
            has_native_program: *has_native_program,
            leaves_checksums: *leaves_checksums,
        }),
    });
    ends.collect()
}

/// Returns a command that runs in a namespace, or in this one.
pub(super) fn peer_command(namespace: Option<&str>, command: &str) -> String {
    match namespace {
        Some(namespace) => format!("ip netns exec {} {command}", printable::word(namespace)),
        None => command.to_owned(),
    }
}

fn without_program(site: &Site, cases: &mut Cases<'_>) {
    if site.config.xdp_mode == XdpMode::Generic {
        return;
    }
    let ends = ends(site, cases);
    for End { here, name, namespace, .. } in ends.iter().filter(|end| !end.has_native_program) {
        let message = format!(
            "the other end of the veth pair ({name}) has no native XDP program: it drops what is \
             sent back by the interface that it came from, such as resets"
        );
        let word = printable::word(name);
        let attach = format!("ip link set dev {word} xdpdrv obj pass.o sec xdp");
        let fix = peer_command(*namespace, &attach) + " (any program that passes all frames)";
        cases.add(here, message, fix);
    }
}

fn checksums(site: &Site, cases: &mut Cases<'_>) {
    let ends = ends(site, cases);
    for End { here, name, namespace, .. } in ends.iter().filter(|end| end.leaves_checksums) {
        let message = format!(
            "the other end of the veth pair ({name}) leaves checksums to hardware that does not \
             exist: XDP forwards them incomplete"
        );
        let command = format!("ethtool -K {} tx off", printable::word(name));
        cases.add(here, message, peer_command(*namespace, &command));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checks::made, report::found};

    #[test]
    fn a_hidden_end_is_not_checked() {
        let mut site = made::site();
        site.links[0].peer = Some(Peer::Hidden("why".to_owned()));
        for find in [without_program, checksums] {
            let found = found(&site, find);
            assert_eq!((found.len(), found[0].severity), (1, Severity::NotChecked));
        }
    }

    #[test]
    fn the_generic_mode_needs_no_program_at_the_other_end() {
        let mut site = made::site();
        if let Some(Peer::Seen { has_native_program, .. }) = &mut site.links[0].peer {
            *has_native_program = false;
        }
        assert_eq!(found(&site, without_program).len(), 1);
        site.config.xdp_mode = XdpMode::Generic;
        assert!(found(&site, without_program).is_empty());
    }
}
