//! Documentation of the packet path's counters.

use lb_common::{
    reason::{Reason, Verdict},
    stats::Incident,
    trail::Trail,
};

const HEAD: &str = "# Counters\n\n\
    <!-- Generated from the code: `cargo xtask docs`. -->\n\n\
    `xdplb stats` prints the counters that are not zero, `-o wide` and `-o json` print all.\n";

const REASONS: &str = "\n## Reasons\n\n\
    Each frame is counted once, by its verdict and reason: sent (`tx`), passed to the host's own\n\
    network stack (`pass`) or dropped (`drop`).\n\n\
    | verdict | reason | meaning |\n|---|---|---|\n";

const INCIDENTS: &str = "\n## Incidents\n\n\
    Incidents are counted in addition to the reasons: a frame may cause none or several.\n\n\
    | incident | meaning |\n|---|---|\n";

/// Returns the reference page of all counters, in Markdown.
#[must_use]
pub fn page() -> String {
    let verdicts = [Verdict::Tx, Verdict::Pass, Verdict::Drop].into_iter();
    let of = |verdict| Reason::ALL.iter().filter(move |reason| reason.verdict() == verdict);
    let reasons = verdicts.flat_map(of).map(|reason| {
        let (verdict, name) = (reason.verdict().as_str(), reason.as_str());
        format!("| {verdict} | `{name}` | {} |\n", of_reason(*reason))
    });
    let incidents =
        Incident::ALL.iter().map(|one| format!("| `{}` | {} |\n", one.as_str(), of_incident(*one)));
    let (reasons, incidents): (String, String) = (reasons.collect(), incidents.collect());
    [HEAD, REASONS, &reasons, INCIDENTS, &incidents].concat()
}

/// Returns the reason that a packet has met.
pub(super) fn reason_of(trail: &Trail) -> Reason {
    let number = trail.reason.saturating_sub(1) as usize;
    Reason::ALL.get(number).copied().unwrap_or(Reason::NotOurs)
}

fn of_incident(incident: Incident) -> &'static str {
    match incident {
        Incident::PortClash => "A source port was in use, and another one was tried.",
        Incident::EarlyPortReuse => {
            "All source ports that were tried were in use, so one was reused before it had cooled \
             down for a minute: the client may have to send its SYN again."
        }
        Incident::EvictedClosed => {
            "A closed connection was removed early, to make room or to free its source port."
        }
        Incident::EvictedClosing => {
            "A connection that one side had closed was removed early, to make room or to free its \
             source port."
        }
        Incident::EvictedHalfOpen => {
            "A half-open connection was removed early, to make room or to free its source port, \
             for example in a SYN flood."
        }
        Incident::EvictedAnswered => {
            "A connection whose backend had not confirmed the handshake was removed early, to make \
             room or to free its source port."
        }
        Incident::EvictedEstablished => {
            "An established connection that had been silent for a minute was removed early, to make \
             room or to free its source port: raise `limits.flows`, or give more `snat_addresses`."
        }
        Incident::Refused => {
            "A backend reset a connection before it was established, as if no server listened on \
             the port."
        }
        Incident::Rescheduled => {
            "A client's SYN was sent to another backend, because its previous one had refused it \
             or was down."
        }
        Incident::ClientMoved => {
            "A client's packet came from another next hop than the one for its replies: the \
             daemon checks the kernel's route."
        }
        Incident::NotLogged => {
            "The end of a connection was left out of the connection log, as more were evicted or \
             replaced at once than the daemon has read: in a flood, or while the log's disk is slow."
        }
    }
}

pub(super) fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Forwarded => "A client's packet was sent to its backend.",
        Reason::Replied => "A backend's packet was sent to its client.",
        Reason::ResetNoBackend => {
            "A new connection was reset because the service has no backend that takes connections."
        }
        Reason::ResetUnknownFlow => {
            "A packet of an unknown connection, to a service or from a backend, was answered with \
             a reset."
        }
        Reason::NotOurs => "The packet belongs to no service and to no known connection.",
        Reason::NotIpv4 => "The frame is not IPv4, for example ARP or IPv6.",
        Reason::NotTcp => "The packet is not TCP, for example UDP or ICMP.",
        Reason::Vlan => "The frame has a VLAN tag.",
        Reason::IpOptions => "The packet has IP options and is not for a service.",
        Reason::Fragment => {
            "The packet is a fragment, but not the first one of a packet to a service."
        }
        Reason::Truncated => "The frame is shorter than its headers say.",
        Reason::OtherMac => {
            "The packet is for a service, but has another host's MAC address, for example flooded \
             by a switch."
        }
        Reason::TableFull => "The flow table had no room for a new connection.",
        Reason::ClientHopsFull => {
            "The next hop to the client of a new connection found no room in the table of next hops \
             (4,095 in all): connections of clients behind known ones are not affected."
        }
        Reason::PortsExhausted => "No source port was found for a new connection.",
        Reason::Unreachable => "The backend has no source address or no next hop.",
        Reason::StrayReset => {
            "The packet is a reset of an unknown connection: resets are not answered."
        }
        Reason::Quarantined => {
            "A backend's late packet came to a source port that is cooling down after the end of \
             its connection."
        }
        Reason::Contended => {
            "Another CPU was changing the same connection: the sender retransmits."
        }
        Reason::ResetFailed => "The frame could not be turned into a reset.",
        Reason::NoEgress => "The output interface is not one of `interfaces`.",
        Reason::ResetCapped => {
            "A reset was not sent because this CPU or the sender's network had reached \
             `limits.resets`."
        }
        Reason::Migrating => {
            "A packet of an unknown connection was not answered with a reset during the migration \
             after a change of `limits` or an upgrade: the sender retransmits."
        }
        Reason::TtlExpired => "The TTL of a packet to a service expired.",
        Reason::IpOptionsToService => "A packet to a service had IP options.",
        Reason::FragmentToService => {
            "The packet is the first fragment of a packet to a service: fragments are not \
             forwarded."
        }
        Reason::BadFlags => {
            "The TCP flags are invalid: SYN with FIN or RST, FIN with RST, or none of SYN, RST \
             and ACK."
        }
        Reason::GroupMac => "A packet to a service came to a broadcast or multicast MAC address.",
        Reason::MartianSource => {
            "The source address cannot be a client's on this interface: loopback, multicast, \
             broadcast, reserved, one of this host's, or a backend's."
        }
        Reason::WrongInterface => {
            "A backend's packet came in on another interface than the one of the route to it."
        }
        Reason::Refused => {
            "A backend's refusal was not passed to the client, whose next SYN goes to another \
             backend."
        }
        Reason::Guarded => {
            "The host guard dropped a TCP packet of a service or a backend before the host's own \
             network stack."
        }
        Reason::Standby => {
            "A packet to an address of a group that this node is standby for, or an ARP request for it."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_line_with_one_sentence() {
        let page = page();
        let reasons = Reason::ALL.iter().map(|one| one.as_str());
        for name in reasons.chain(Incident::ALL.iter().map(|one| one.as_str())) {
            let cell = format!("| `{name}` | ");
            let line = page.lines().find(|line| line.contains(&cell)).expect(name);
            assert!(line.ends_with(". |") && !line.contains(". A"), "{line}");
        }
    }
}
