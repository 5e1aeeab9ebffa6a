//! Headers in wire format: byte arrays only, so any offset is aligned.

use bytemuck::{Pod, Zeroable};

pub const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// RFC 826.
pub const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// IEEE 802.1Q.
pub const ETHERTYPE_VLAN: [u8; 2] = [0x81, 0x00];
/// IEEE 802.1ad.
pub const ETHERTYPE_QINQ: [u8; 2] = [0x88, 0xa8];

pub const PROTO_TCP: u8 = 6;
pub const PROTO_UDP: u8 = 17;

/// Mask for the word of flags and offset.
const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
const OFFSET: u16 = 0x1fff;

/// Version 4, five 32-bit words: no options.
pub const IPV4_WITHOUT_OPTIONS: u8 = 0x45;

/// Bytes of an IPv4 header without options.
pub const IPV4_LENGTH: u16 = 20;
/// Bytes of a TCP header without options.
pub const TCP_LENGTH: u16 = 20;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Ethernet {
    pub dst: [u8; 6],
    pub src: [u8; 6],
    pub ethertype: [u8; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Ipv4 {
    pub version_ihl: u8,
    pub tos: u8,
    pub total_length: [u8; 2],
    pub identification: [u8; 2],
    /// Three flag bits, thirteen bits of offset.
    pub fragment: [u8; 2],
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: [u8; 2],
    pub src: [u8; 4],
    pub dst: [u8; 4],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Tcp {
    pub src_port: [u8; 2],
    pub dst_port: [u8; 2],
    pub sequence: [u8; 4],
    pub acknowledgement: [u8; 4],
    /// Header length in 32-bit words, in the upper four bits.
    pub data_offset: u8,
    pub flags: u8,
    pub window: [u8; 2],
    pub checksum: [u8; 2],
    pub urgent: [u8; 2],
}

/// The first fields of the TCP header and of the UDP header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Ports {
    pub src: [u8; 2],
    pub dst: [u8; 2],
}

/// A packet of ARP for IPv4 addresses on Ethernet (RFC 826).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Arp {
    pub hardware_type: [u8; 2],
    /// The protocol's type, the lengths of both kinds of addresses, and the operation.
    pub kind: [u8; 6],
    pub sender_mac: [u8; 6],
    pub sender: [u8; 4],
    pub target_mac: [u8; 6],
    pub target: [u8; 4],
}

/// Kind of a request for the MAC address of an IPv4 address, whatever the type of hardware.
pub const ARP_REQUEST: [u8; 6] = [0x08, 0x00, 6, 4, 0, 1];

/// Bytes of a VLAN tag.
pub const TAG_LENGTH: usize = 4;

/// The headers of an IPv4 TCP frame without VLAN tag and IP options, as the fast path takes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Headers {
    pub ethernet: Ethernet,
    pub ip: Ipv4,
    pub tcp: Tcp,
}

const _: () = assert!(size_of::<Ethernet>() == 14);
const _: () = assert!(size_of::<Ipv4>() == IPV4_LENGTH as usize);
const _: () = assert!(size_of::<Tcp>() == TCP_LENGTH as usize);
const _: () = assert!(size_of::<Arp>() == 28);
const _: () = assert!(size_of::<Headers>() == 54);

impl Ethernet {
    /// Sets both addresses: destination, then source.
    #[inline(always)]
    pub const fn set_macs(&mut self, macs: [u8; 12]) {
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = macs;
        self.dst = [d0, d1, d2, d3, d4, d5];
        self.src = [s0, s1, s2, s3, s4, s5];
    }
}

impl Ipv4 {
    /// Returns true for a fragment of a datagram: its offset is not zero, or more fragments follow.
    /// The flag "don't fragment" does not make one.
    #[must_use]
    #[inline(always)]
    pub const fn is_fragment(&self) -> bool {
        u16::from_be_bytes(self.fragment) & MORE_FRAGMENTS_AND_OFFSET != 0
    }

    /// Returns true for a fragment that is not the first one: it has no TCP header.
    #[must_use]
    #[inline(always)]
    pub const fn is_later_fragment(&self) -> bool {
        u16::from_be_bytes(self.fragment) & OFFSET != 0
    }

    /// Returns true if it is IPv4 and carries TCP.
    #[must_use]
    #[inline(always)]
    pub const fn is_tcp(&self) -> bool {
        self.version_ihl >> 4 == 4 && self.protocol == PROTO_TCP
    }

    /// Returns the length in bytes, options included: 60 at most.
    #[must_use]
    #[inline(always)]
    pub const fn header_length(&self) -> usize {
        (self.version_ihl & 0xf) as usize * 4
    }
}

impl Tcp {
    /// Returns the length in bytes, options included.
    #[must_use]
    pub const fn header_length(&self) -> u16 {
        (self.data_offset >> 4) as u16 * 4
    }
}
