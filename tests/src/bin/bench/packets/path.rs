//! Paths through the program, one row each.

use lb_common::{reason::Reason, template::Spread};

use super::{
    floors::Floor,
    frames::{self, Frame},
    topology::Topology,
};

/// A kind of packet. Other families or modes are rows of their own, if need be with other frames.
pub struct Path {
    pub name: &'static str,
    pub family: &'static str,
    pub mode: &'static str,
    pub(super) frame: fn() -> Frame,
    pub(super) senders: Senders,
    pub(super) handler: Handler,
    /// Set if it is measured with large flow tables, too.
    pub(super) at_all_sizes: bool,
}

/// Senders of the packets, in turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Senders {
    /// All clients with an open connection.
    Clients,
    /// The backends, on all open connections.
    Backends,
    /// New clients. Their connections must be removed after the run.
    Strangers,
    /// Always the same one.
    One,
}

impl Senders {
    pub(super) fn spread(self, topology: Topology) -> Spread {
        match self {
            Self::Clients | Self::One => Spread::CLIENTS,
            Self::Backends => topology.replies(),
            Self::Strangers => Spread::CLIENTS.and_services(topology.services),
        }
    }

    /// Returns the number of senders, as a power of two.
    pub(super) fn doublings(self, topology: Topology) -> u32 {
        match self {
            Self::Clients | Self::Backends => topology.flows,
            Self::Strangers => u32::BITS,
            Self::One => 0,
        }
    }
}

/// Program that handles the packets.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// xdplb, which must count every packet with this reason.
    Xdplb(Reason),
    /// xdplb with all backends behind another interface.
    XdplbRedirecting,
    /// xdplb with `limits.accounting`.
    XdplbAccounting(Reason),
    Floor(Floor),
}

impl Path {
    const fn new(name: &'static str, frame: fn() -> Frame, reason: Reason) -> Self {
        Self {
            name,
            family: "v4",
            mode: "nat",
            frame,
            senders: Senders::One,
            handler: Handler::Xdplb(reason),
            at_all_sizes: false,
        }
    }

    /// Marks a path to be measured with flow tables of all sizes.
    const fn of_all(self, senders: Senders) -> Self {
        Self { senders, at_all_sizes: true, ..self }
    }

    /// Returns true if each packet opens a connection.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.senders == Senders::Strangers
    }

    /// Returns true if the program truncates the frames.
    pub(super) fn is_cut(&self) -> bool {
        use Reason::{ResetNoBackend, ResetUnknownFlow};
        matches!(self.handler, Handler::Xdplb(ResetNoBackend | ResetUnknownFlow))
    }
}

pub(super) const KNOWN: Path =
    Path::new("known", frames::known, Reason::Forwarded).of_all(Senders::Clients);
pub(super) const NEW: Path =
    Path::new("new", frames::new, Reason::Forwarded).of_all(Senders::Strangers);
/// The same by turns of each CPU.
pub(super) const NEW_PER_CPU: Path = new_by("new_per_cpu", frames::new_by_turns_per_cpu);
/// Rewriting by the kernel's hash map, the floor of those who use it.
pub(super) const HASH_NAT: Path = floor("hash_nat", Floor::HashNat);
pub(super) const NOT_OURS: Path =
    Path::new("not_ours", frames::elsewhere, Reason::NotOurs).of_all(Senders::Clients);

/// A floor, of the packets of open connections.
const fn floor(name: &'static str, floor: Floor) -> Path {
    Path { name, handler: Handler::Floor(floor), ..KNOWN }
}

/// New connections of a service with another scheduler than the first one's round robin.
const fn new_by(name: &'static str, frame: fn() -> Frame) -> Path {
    Path { senders: Senders::Strangers, ..Path::new(name, frame, Reason::Forwarded) }
}

pub(super) const ALL: &[Path] = &[
    floor("one_line", Floor::OneLine),
    floor("one_line_waited", Floor::OneLineWaited),
    floor("two_lines", Floor::TwoLines),
    HASH_NAT,
    floor("table_v4", Floor::TableV4),
    Path { family: "v6", ..floor("table_v6", Floor::TableV6) },
    KNOWN,
    Path { name: "redirect", handler: Handler::XdplbRedirecting, ..KNOWN },
    Path::new("reply", frames::reply, Reason::Replied).of_all(Senders::Backends),
    Path {
        name: "known_accounted",
        handler: Handler::XdplbAccounting(Reason::Forwarded),
        at_all_sizes: false,
        ..KNOWN
    },
    NEW,
    NOT_OURS,
    NEW_PER_CPU,
    new_by("new_least_connections", frames::new_by_least_connections),
    new_by("new_maglev", frames::new_by_maglev),
    new_by("new_source_hash", frames::new_by_source_hash),
    new_by("new_random", frames::new_by_random),
    Path::new("retransmitted_syn", frames::opening, Reason::Forwarded),
    Path::new("reset_unknown_flow", frames::unknown, Reason::ResetUnknownFlow),
    Path::new("reset_no_backend", frames::new_to_empty, Reason::ResetNoBackend),
    Path::new("stray_reset", frames::stray_reset, Reason::StrayReset),
    Path::new("unreachable", frames::new_to_unreachable, Reason::Unreachable),
    Path::new("ttl_expired", frames::ttl_one, Reason::TtlExpired),
    Path::new("not_ipv4", frames::ipv6, Reason::NotIpv4),
    Path::new("not_tcp", frames::udp, Reason::NotTcp),
    Path::new("vlan", frames::vlan, Reason::Vlan),
    Path::new("ip_options", frames::options, Reason::IpOptions),
    Path::new("fragment", frames::fragment, Reason::Fragment),
    Path::new("fragment_to_service", frames::fragment_to_service, Reason::FragmentToService),
    Path::new("bad_flags", frames::bad_flags, Reason::BadFlags),
    Path::new("other_mac", frames::other_mac, Reason::OtherMac),
    Path::new("martian_source", frames::martian_source, Reason::MartianSource),
    Path::new("truncated", frames::truncated, Reason::Truncated),
];

/// Paths that more services or backends could slow down.
pub(super) const SCALING: &[Path] = &[HASH_NAT, KNOWN, NEW, NOT_OURS];
