//! TCP as far as a balancer follows it (RFC 9293).

use crate::{
    halves::{high, high16, join, join16, low, low16},
    wire::{Headers, IPV4_LENGTH, Tcp},
};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// The flags that determine a segment's purpose, unlike PSH, URG, ECE and CWR.
const CONTROL: u8 = FIN | SYN | RST | ACK;

/// Returns true if a segment requests a new connection.
#[must_use]
#[inline(always)]
pub const fn opens(flags: u8) -> bool {
    flags & CONTROL == SYN
}

/// Returns true for an ACK without SYN, FIN or RST, as nearly all segments are.
#[must_use]
#[inline(always)]
pub const fn is_usual(flags: u8) -> bool {
    flags & CONTROL == ACK
}

/// Returns true if a TCP stack sends segments with these flags: Linux's `tcp_valid_flags`
/// (`net/netfilter/nf_conntrack_proto_tcp.c`). Others are probes and floods.
#[must_use]
#[inline(always)]
pub const fn is_possible(flags: u8) -> bool {
    const SYN_ACK: u8 = SYN | ACK;
    const RST_ACK: u8 = RST | ACK;
    const FIN_ACK: u8 = FIN | ACK;
    matches!(flags & CONTROL, SYN | SYN_ACK | RST | RST_ACK | FIN_ACK | ACK)
}

/// The parts of a segment that determine a connection's state. Numbers are in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub flags: u8,
    pub sequence: u32,
    /// Valid only with [`ACK`].
    pub acknowledgement: u32,
    /// Bytes of data.
    pub payload: u16,
}

impl Segment {
    #[must_use]
    #[inline(always)]
    pub const fn of(headers: &Headers) -> Self {
        let Headers { ip, tcp, .. } = headers;
        Self {
            flags: tcp.flags,
            sequence: u32::from_be_bytes(tcp.sequence),
            acknowledgement: u32::from_be_bytes(tcp.acknowledgement),
            payload: u16::from_be_bytes(ip.total_length)
                .wrapping_sub(IPV4_LENGTH + tcp.header_length()),
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns both numbers, and flags with payload, as arguments of a global function.
    #[must_use]
    #[inline(always)]
    pub const fn words(&self) -> (u64, u32) {
        let numbers = join(self.sequence, self.acknowledgement);
        (numbers, join16(self.flags as u16, self.payload))
    }

    /// Makes a segment of the result of [`Self::words`].
    #[must_use]
    #[inline(always)]
    pub const fn of_words(numbers: u64, rest: u32) -> Self {
        let [flags, _] = low16(rest).to_le_bytes();
        Self {
            flags,
            sequence: low(numbers),
            acknowledgement: high(numbers),
            payload: high16(rest),
        }
    }
}

/// Returns sequence number, acknowledgement number and flags of the reset that answers `segment`,
/// which carries `payload` bytes: RFC 9293, section 3.10.7.1. A reset is never answered.
#[must_use]
pub const fn reset_for(segment: &Tcp, payload: u16) -> ([u8; 4], [u8; 4], u8) {
    if segment.flags & ACK != 0 {
        return (segment.acknowledgement, [0; 4], RST);
    }
    let control = (segment.flags & SYN != 0) as u32 + (segment.flags & FIN != 0) as u32;
    let next = u32::from_be_bytes(segment.sequence).wrapping_add(control + payload as u32);
    ([0; 4], next.to_be_bytes(), RST | ACK)
}
