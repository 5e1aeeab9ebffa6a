//! Effect of a datagram on its flow, which is new until the client has sent another one after an answer,
//! as in Linux (`net/netfilter/nf_conntrack_proto_udp.c`, "assured"). In the terms of connections: a new
//! flow is half-open, an assured one established. There is no end but silence.

use super::{Direction, flags_seen};

/// Returns the flags seen of a flow after a datagram in this direction.
#[must_use]
#[inline(always)]
pub const fn after_datagram(seen: u16, direction: Direction) -> u16 {
    match direction {
        Direction::ToClient => seen | flags_seen::BACKEND_SYN | flags_seen::PROVEN,
        Direction::ToBackend if seen & flags_seen::BACKEND_SYN == 0 => seen,
        Direction::ToBackend => seen | flags_seen::CLIENT_ACK,
    }
}

/// As [`after_datagram`], of a flow whose backend answers the client itself: the client's second
/// datagram stands for what is not seen.
#[must_use]
#[inline(always)]
pub const fn after_datagram_one_way(seen: u16) -> u16 {
    seen | flags_seen::CLIENT_ACK
}
