//! Frames, built and read by etherparse: an oracle that shares no code with the balancer.

use std::net::SocketAddrV4;

use etherparse::{
    EtherType, Ethernet2Header, PacketBuilder, SlicedPacket, TcpHeader, TransportSlice,
};

pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const BALANCER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const BACKEND_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

/// Initial sequence numbers of clients and backends.
pub const CLIENT_ISN: u32 = 1_000;
pub const BACKEND_ISN: u32 = 2_000;

/// A TCP segment in an IPv4 packet in an Ethernet frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub src_mac: [u8; 6],
    pub dst_mac: [u8; 6],
    pub src: SocketAddrV4,
    pub dst: SocketAddrV4,
    pub ttl: u8,
    pub flags: Flags,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "that is what TCP's flags are")]
pub struct Flags {
    pub syn: bool,
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
}

impl Flags {
    pub const SYN: Self = Self { syn: true, ack: false, fin: false, rst: false };
    pub const ACK: Self = Self { syn: false, ack: true, fin: false, rst: false };
    pub const SYN_ACK: Self = Self { syn: true, ack: true, fin: false, rst: false };
    pub const FIN: Self = Self { syn: false, ack: true, fin: true, rst: false };
    pub const RST: Self = Self { syn: false, ack: false, fin: false, rst: true };
    pub const RST_ACK: Self = Self { syn: false, ack: true, fin: false, rst: true };
    pub const SYN_FIN: Self = Self { syn: true, ack: false, fin: true, rst: false };
    pub const SYN_RST: Self = Self { syn: true, ack: false, fin: false, rst: true };
    pub const NONE: Self = Self { syn: false, ack: false, fin: false, rst: false };
    pub const ALL: Self = Self { syn: true, ack: true, fin: true, rst: true };
}

impl Segment {
    /// Makes a client's segment as the balancer receives it, before any data.
    #[must_use]
    pub fn new(src: SocketAddrV4, dst: SocketAddrV4, flags: Flags) -> Self {
        Self {
            src_mac: CLIENT_MAC,
            dst_mac: BALANCER_MAC,
            src,
            dst,
            ttl: 64,
            flags,
            sequence: CLIENT_ISN + u32::from(!flags.syn),
            acknowledgement: if flags.ack { BACKEND_ISN + 1 } else { 0 },
            payload: Vec::new(),
        }
    }

    /// Returns the receiver's answer to this segment.
    #[must_use]
    pub fn answer(&self, flags: Flags) -> Self {
        Self {
            src_mac: BACKEND_MAC,
            dst_mac: BALANCER_MAC,
            sequence: BACKEND_ISN + u32::from(!flags.syn),
            acknowledgement: if flags.ack { CLIENT_ISN + 1 } else { 0 },
            ..Self::new(self.dst, self.src, flags)
        }
    }

    #[must_use]
    pub fn with_payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let ip = PacketBuilder::ethernet2(self.src_mac, self.dst_mac).ipv4(
            self.src.ip().octets(),
            self.dst.ip().octets(),
            self.ttl,
        );
        let mut frame = Vec::new();
        let packet = ip.tcp_header(self.tcp());
        packet.write(&mut frame, &self.payload).expect("a vector takes any frame");
        frame
    }

    fn tcp(&self) -> TcpHeader {
        let mut tcp = TcpHeader::new(self.src.port(), self.dst.port(), self.sequence, 64_000);
        let Flags { syn, ack, fin, rst } = self.flags;
        tcp.acknowledgment_number = self.acknowledgement;
        (tcp.syn, tcp.ack, tcp.fin, tcp.rst) = (syn, ack, fin, rst);
        tcp
    }

    /// Parses a frame.
    ///
    /// # Panics
    ///
    /// If it is not a TCP segment in IPv4, or a checksum is wrong.
    #[must_use]
    pub fn read(frame: &[u8]) -> Self {
        let sliced = SlicedPacket::from_ethernet(frame).expect("a whole frame");
        let ethernet = Ethernet2Header::from_slice(frame).expect("an Ethernet header").0;
        assert_eq!(ethernet.ether_type, EtherType::IPV4);
        let ip =
            sliced.net.as_ref().and_then(|net| net.ipv4_ref()).expect("IPv4").header().to_header();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "IPv4 checksum");
        let Some(TransportSlice::Tcp(slice)) = &sliced.transport else { panic!("not TCP") };
        let tcp = slice.to_header();
        let payload = slice.payload().to_vec();
        let sum = tcp.calc_checksum_ipv4(&ip, &payload).expect("a payload of legal length");
        assert_eq!(tcp.checksum, sum, "TCP checksum");
        Self {
            src_mac: ethernet.source,
            dst_mac: ethernet.destination,
            src: SocketAddrV4::new(ip.source.into(), tcp.source_port),
            dst: SocketAddrV4::new(ip.destination.into(), tcp.destination_port),
            ttl: ip.time_to_live,
            flags: Flags { syn: tcp.syn, ack: tcp.ack, fin: tcp.fin, rst: tcp.rst },
            sequence: tcp.sequence_number,
            acknowledgement: tcp.acknowledgment_number,
            payload,
        }
    }
}
