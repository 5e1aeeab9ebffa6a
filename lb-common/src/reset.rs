//! The reset that answers an unexpected segment.

use core::mem::swap;

use bytemuck::must_cast;

use crate::{
    checksum::{of_words, tcp_pseudo_header},
    tcp::reset_for,
    wire::{Headers, IPV4_LENGTH, TCP_LENGTH},
};

const TTL: u8 = 64;
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];
const DATA_OFFSET: u8 = 5 << 4;

/// Turns the headers of a segment into those of the reset that answers it, back to its sender. They
/// are then the whole frame: the caller cuts off the rest.
pub fn answer(headers: &mut Headers) {
    let Headers { ethernet, ip, tcp } = headers;
    let taken = IPV4_LENGTH + tcp.header_length();
    let payload = u16::from_be_bytes(ip.total_length).saturating_sub(taken);
    let (sequence, acknowledgement, flags) = reset_for(tcp, payload);

    swap(&mut ethernet.dst, &mut ethernet.src);

    swap(&mut ip.src, &mut ip.dst);
    ip.tos = 0;
    ip.total_length = (IPV4_LENGTH + TCP_LENGTH).to_be_bytes();
    ip.identification = [0; 2];
    ip.fragment = DONT_FRAGMENT;
    ip.ttl = TTL;
    ip.checksum = [0; 2];
    ip.checksum = of_words::<10>(&must_cast(*ip), 0);

    swap(&mut tcp.src_port, &mut tcp.dst_port);
    tcp.sequence = sequence;
    tcp.acknowledgement = acknowledgement;
    tcp.data_offset = DATA_OFFSET;
    tcp.flags = flags;
    tcp.window = [0; 2];
    tcp.urgent = [0; 2];
    tcp.checksum = [0; 2];
    let pseudo = tcp_pseudo_header(ip.src, ip.dst, TCP_LENGTH);
    tcp.checksum = of_words::<10>(&must_cast(*tcp), pseudo);
}
