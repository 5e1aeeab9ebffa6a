//! Documentation of the packet path's counters.

use lb_common::{
    reason::{Reason, Verdict},
    stats::Incident,
};

const HEAD: &str = "# Counters\n\n\
    <!-- Generated from the code: `cargo xtask docs`. -->\n\n\
    `xdplb stats` prints these, `-o wide` with those that are zero, and `-o json` prints all.\n";

const REASONS: &str = "\n## Reasons\n\n\
    Each frame is counted once, by what became of it. Frames are sent (`tx`), left to the host's own\n\
    network stack (`pass`) or dropped (`drop`).\n\n\
    | verdict | reason | meaning |\n|---|---|---|\n";

const INCIDENTS: &str = "\n## Incidents\n\n\
    These are counted beside the reasons: a frame may cause none or several.\n\n\
    | incident | meaning |\n|---|---|\n";

/// Returns the page of all counters, in Markdown.
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

fn of_incident(incident: Incident) -> &'static str {
    match incident {
        Incident::PortClash => "A source port was taken, and another one was tried.",
        Incident::EarlyPortReuse => {
            "All source ports that were tried were taken, so that one was reused before its minute of \
             rest was over: the backend may have the client send its SYN again."
        }
        Incident::EvictedClosed => {
            "A closed connection was removed early, to make room or to free its source port."
        }
        Incident::EvictedClosing => {
            "A connection that one side had closed was removed early, to make room or to free its \
             source port."
        }
        Incident::EvictedHalfOpen => {
            "A half-open connection was removed early, to make room or to free its source port, as in \
             a SYN flood."
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
            "A backend reset a connection before it was established, as a host does where no server \
             listens."
        }
        Incident::Rescheduled => {
            "A client's SYN was given another backend, because its last one had refused it or was \
             down."
        }
        Incident::ClientMoved => {
            "A client's packet came from another next hop than its replies are sent to: the daemon \
             compares it with the kernel's route."
        }
    }
}

fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Forwarded => "A client's packet was sent to its backend.",
        Reason::Replied => "A backend's packet was sent to its client.",
        Reason::ResetNoBackend => {
            "A new connection was reset, because the service has no backend that takes connections."
        }
        Reason::ResetUnknownFlow => {
            "A packet of an unknown connection, to a service or from a backend, was answered by a \
             reset."
        }
        Reason::NotOurs => "The packet belongs to no service and to no known connection.",
        Reason::NotIpv4 => "The frame carries no IPv4, as ARP and IPv6 do not.",
        Reason::NotTcp => "The packet carries no TCP, as UDP and ICMP do not.",
        Reason::Vlan => "The frame has a VLAN tag.",
        Reason::IpOptions => "The packet has IP options, and is not to a service.",
        Reason::Fragment => "The packet is a fragment, and not the first one to a service.",
        Reason::Truncated => "The frame is shorter than its headers say.",
        Reason::OtherMac => {
            "The packet is to a service, but to another host's MAC address, as a switch floods it."
        }
        Reason::TableFull => "The flow table had no room for a new connection.",
        Reason::PortsExhausted => "No source port was found for a new connection.",
        Reason::Unreachable => "The backend has no source address or no next hop.",
        Reason::StrayReset => "A reset of an unknown connection: resets are not answered.",
        Reason::Quarantined => {
            "A backend's late packet came to a source port that rests after its connection's end."
        }
        Reason::Contended => {
            "Another CPU was changing the same connection: the sender retransmits."
        }
        Reason::ResetFailed => "The frame could not be shortened to a reset.",
        Reason::NoEgress => "The interface to leave by is not one of `interfaces`.",
        Reason::ResetCapped => {
            "A reset was not sent, because this CPU, or the sender's network, had used up \
             `limits.resets`."
        }
        Reason::TtlExpired => "The time to live of a packet to a service ended here.",
        Reason::IpOptionsToService => "A packet to a service had IP options.",
        Reason::FragmentToService => {
            "The first fragment of a packet to a service: fragments are not forwarded."
        }
        Reason::BadFlags => {
            "The TCP flags are impossible: SYN with FIN or RST, FIN with RST, or none of SYN, RST and \
             ACK."
        }
        Reason::GroupMac => "A packet to a service came to a broadcast or multicast MAC address.",
        Reason::MartianSource => {
            "The source address cannot be a client's on this interface: loopback, multicast, \
             broadcast, reserved, one of this host's, or a backend's."
        }
        Reason::WrongInterface => {
            "A backend's packet came in by another interface than the route to it leaves by."
        }
        Reason::Refused => {
            "A backend's refusal was kept from the client, whose next SYN is given another backend."
        }
        Reason::Guarded => {
            "The host guard kept a service's or a backend's TCP from the host's own stack."
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
