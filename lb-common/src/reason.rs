//! The outcomes of a frame, by name. Counters, logs and docs use the same names.

/// The fate of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Sent on, rewritten or answered.
    Tx,
    /// Left to the host's own network stack.
    Pass,
    Drop,
}

impl Verdict {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tx => "tx",
            Self::Pass => "pass",
            Self::Drop => "drop",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal => $verdict:ident,)+) => {
        /// Reason for a frame's verdict. The discriminant is the counter's index, by which an upgrade keeps
        /// its counts: new ones go to the end.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            #[must_use]
            pub const fn verdict(self) -> Verdict {
                match self {
                    $(Self::$variant => Verdict::$verdict,)+
                }
            }
        }
    };
}

reasons! {
    /// A client's packet was sent to its backend.
    Forwarded = "forwarded" => Tx,
    /// A backend's packet was sent to its client.
    Replied = "replied" => Tx,
    /// A new connection was reset, as the service has no backend that takes connections.
    ResetNoBackend = "reset_no_backend" => Tx,
    /// A packet of an unknown connection, to a service or from a backend to a source port, was
    /// answered by a reset.
    ResetUnknownFlow = "reset_unknown_flow" => Tx,

    /// Belongs to no service and to no known connection.
    NotOurs = "not_ours" => Pass,
    NotIpv4 = "not_ipv4" => Pass,
    NotTcp = "not_tcp" => Pass,
    /// Carries a VLAN tag.
    Vlan = "vlan" => Pass,
    /// Has IP options, and is not to a service.
    IpOptions = "ip_options" => Pass,
    /// Is a fragment, and not the first one to a service.
    Fragment = "fragment" => Pass,
    /// Shorter than its own headers say.
    Truncated = "truncated" => Pass,
    /// To a service, but to another host's MAC address, as a switch floods it.
    OtherMac = "other_mac" => Pass,

    /// No room in the flow table for a new connection.
    TableFull = "table_full" => Drop,
    /// No free source port was found for a new connection, in a bounded number of tries.
    PortsExhausted = "ports_exhausted" => Drop,
    /// No room for the next hop to the client of a new connection, as other clients have too many.
    ClientHopsFull = "client_hops_full" => Drop,
    /// The chosen backend has no source address or no next hop.
    Unreachable = "unreachable" => Drop,
    /// A reset of an unknown connection, to a service: resets are not answered.
    StrayReset = "stray_reset" => Drop,
    /// A backend's late packet to a source port that is in quarantine after its connection's end.
    Quarantined = "quarantined" => Drop,
    /// Another CPU was changing the same connection: the sender retransmits.
    Contended = "contended" => Drop,
    /// The frame could not be shortened to a reset.
    ResetFailed = "reset_failed" => Drop,
    /// The egress interface is not one of ours.
    NoEgress = "no_egress" => Drop,
    /// A reset was not sent: this CPU, or the sender's network, had used up the rate limit.
    ResetCapped = "reset_capped" => Drop,
    /// A packet of an unknown connection, which may be one that has not been moved yet from the flow table
    /// of a program with other maps: its sender sends it again.
    Migrating = "migrating" => Drop,
    /// The time to live of a packet to a service or of a known connection ended here.
    TtlExpired = "ttl_expired" => Drop,
    /// To a service, with IP options.
    IpOptionsToService = "ip_options_to_service" => Drop,
    /// To a service, and the first fragment of several.
    FragmentToService = "fragment_to_service" => Drop,
    /// Has a combination of TCP flags that no TCP stack sends, or none of them.
    BadFlags = "bad_flags" => Drop,
    /// To a service, but to a broadcast or multicast MAC address.
    GroupMac = "group_mac" => Drop,
    /// From an address that cannot be a client's on this interface: loopback, multicast, reserved,
    /// one of ours, or a backend's.
    MartianSource = "martian_source" => Drop,
    /// From a backend, but by another interface than the route to it leaves by.
    WrongInterface = "wrong_interface" => Drop,
    /// A backend's refusal of a connection was kept from the client, whose next SYN is given
    /// another backend.
    Refused = "refused" => Drop,
    /// TCP of a service or backend, kept from the host's stack, which would answer by a reset.
    Guarded = "guarded" => Drop,
    /// A packet to an address of a group that this node is standby for, or an ARP request for it.
    Standby = "standby" => Drop,
}

#[expect(clippy::cast_possible_truncation, reason = "a couple of dozen")]
pub const REASONS: u32 = Reason::ALL.len() as u32;
