//! TCP as far as a balancer follows it (RFC 9293).

use crate::wire::Tcp;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// Whether a segment asks for a new connection.
#[must_use]
pub const fn opens(flags: u8) -> bool {
    flags & (SYN | ACK | RST) == SYN
}

/// Sequence number, acknowledgement number and flags of the reset that answers `segment`, which
/// carries `payload` bytes: RFC 9293, section 3.10.7.1. A reset is never answered.
#[must_use]
pub const fn reset_for(segment: &Tcp, payload: u16) -> ([u8; 4], [u8; 4], u8) {
    if segment.flags & ACK != 0 {
        return (segment.acknowledgement, [0; 4], RST);
    }
    let control = (segment.flags & SYN != 0) as u32 + (segment.flags & FIN != 0) as u32;
    let next = u32::from_be_bytes(segment.sequence).wrapping_add(control + payload as u32);
    ([0; 4], next.to_be_bytes(), RST | ACK)
}
