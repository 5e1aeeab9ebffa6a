//! Every end that a frame can meet, by name. The same word stands in counters, logs and docs.

/// What becomes of a frame.
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
        /// Why a frame met its verdict. The discriminant is the counter's index.
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
    /// A client's packet, on its way to a backend.
    Forwarded = "forwarded" => Tx,
    /// A backend's packet, on its way to a client.
    Replied = "replied" => Tx,
    /// A new connection to a service that has no backend to give it to, answered by a reset.
    ResetNoBackend = "reset_no_backend" => Tx,
    /// A packet to a service, or from a backend to a source port, of a connection that is not known,
    /// answered by a reset.
    ResetUnknownFlow = "reset_unknown_flow" => Tx,

    /// Neither of a known connection nor to a service.
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
    /// No source port was free for a new connection, in a bounded number of tries.
    PortsExhausted = "ports_exhausted" => Drop,
    /// The chosen backend has no source address or no way out.
    Unreachable = "unreachable" => Drop,
    /// A reset to a service, of a connection that is not known: resets are not answered.
    StrayReset = "stray_reset" => Drop,
    /// A backend's late packet on a source port that rests after its connection's end.
    Quarantined = "quarantined" => Drop,
    /// Another CPU is just opening the same connection: the client will ask again.
    Contended = "contended" => Drop,
    /// The frame could not be cut to the size of a reset.
    ResetFailed = "reset_failed" => Drop,
    /// The interface to leave by is not one of ours.
    NoEgress = "no_egress" => Drop,
    /// It asks for a reset, and this CPU has sent as many as it may for the moment.
    ResetCapped = "reset_capped" => Drop,
    /// Its time to live ends here.
    TtlExpired = "ttl_expired" => Drop,
    /// To a service, with IP options.
    IpOptionsToService = "ip_options_to_service" => Drop,
    /// To a service, and the first fragment of several.
    FragmentToService = "fragment_to_service" => Drop,
    /// Has TCP flags that no TCP stack sends together, or none.
    BadFlags = "bad_flags" => Drop,
    /// To a service, but to a broadcast or multicast MAC address.
    GroupMac = "group_mac" => Drop,
    /// From an address that cannot be a client's, or not where it came in: loopback, multicast,
    /// reserved, one of ours, or a backend's.
    MartianSource = "martian_source" => Drop,
    /// A backend's, but by another interface than the route to the backend.
    WrongInterface = "wrong_interface" => Drop,
    /// A backend's refusal of a connection, which the client need not know of: its next SYN is given
    /// another backend.
    Refused = "refused" => Drop,
    /// TCP that is the balancer's alone, kept from the host's stack, which would answer by a reset.
    Guarded = "guarded" => Drop,
}

#[expect(clippy::cast_possible_truncation, reason = "a couple of dozen")]
pub const REASONS: u32 = Reason::ALL.len() as u32;
