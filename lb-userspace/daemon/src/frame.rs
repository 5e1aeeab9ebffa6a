//! Frames of TCP segments.

use std::net::{IpAddr, SocketAddrV4};

use anyhow::Result;
use etherparse::{
    Ethernet2Header, LaxNetSlice, LaxSlicedPacket, PacketBuilder, TcpHeader, TransportSlice,
};
use lb_common::tcp;
use lb_host::printable;
use lb_model::views::explanation::{SentView, TcpFlags};

/// As most hosts send packets, a few routers away.
const TIME_TO_LIVE: u8 = 60;

/// What the headers of a frame say.
pub(crate) struct Headers {
    pub(crate) src_mac: [u8; 6],
    pub(crate) dst_mac: [u8; 6],
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    pub(crate) flags: TcpFlags,
}

impl Headers {
    /// Returns a frame with these headers and no data.
    pub(crate) fn frame(&self) -> Result<Vec<u8>> {
        let (from, to) = (self.from, self.to);
        let mut segment = TcpHeader::new(from.port(), to.port(), 0, u16::MAX);
        let has = |flag| self.flags.bits() & flag != 0;
        (segment.syn, segment.ack) = (has(tcp::SYN), has(tcp::ACK));
        (segment.fin, segment.rst) = (has(tcp::FIN), has(tcp::RST));
        let packet = PacketBuilder::ethernet2(self.src_mac, self.dst_mac)
            .ipv4(from.ip().octets(), to.ip().octets(), TIME_TO_LIVE)
            .tcp_header(segment);
        let mut frame = Vec::new();
        packet.write(&mut frame, &[])?;
        Ok(frame)
    }

    /// Returns the headers of a frame, of which the end may be missing, if it is a TCP segment in IPv4.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let sliced = LaxSlicedPacket::from_ethernet(frame).ok()?;
        let (ethernet, _) = Ethernet2Header::from_slice(frame).ok()?;
        let Some(LaxNetSlice::Ipv4(ip)) = &sliced.net else { return None };
        let ip = ip.header();
        let Some(TransportSlice::Tcp(segment)) = &sliced.transport else { return None };
        let flags = [
            (segment.syn(), tcp::SYN),
            (segment.ack(), tcp::ACK),
            (segment.fin(), tcp::FIN),
            (segment.rst(), tcp::RST),
        ];
        let bits = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum();
        Some(Self {
            src_mac: ethernet.source,
            dst_mac: ethernet.destination,
            from: SocketAddrV4::new(ip.source_addr(), segment.source_port()),
            to: SocketAddrV4::new(ip.destination_addr(), segment.destination_port()),
            flags: TcpFlags::of_bits(bits),
        })
    }

    /// Returns them as those of a packet that leaves by this interface.
    pub(crate) fn sent(self, interface: String) -> SentView {
        let [from_mac, to_mac] = [self.src_mac, self.dst_mac].map(printable::mac);
        let (from, to) = (self.from.into(), self.to.into());
        SentView { from, to, flags: self.flags, interface, from_mac, to_mac: Some(to_mac) }
    }
}

/// Returns source and destination of a frame's IP header, of which the end may be missing.
pub(crate) fn hosts(frame: &[u8]) -> Option<[IpAddr; 2]> {
    let sliced = LaxSlicedPacket::from_ethernet(frame).ok()?;
    match &sliced.net? {
        LaxNetSlice::Ipv4(ip) => {
            let ip = ip.header();
            Some([ip.source_addr().into(), ip.destination_addr().into()])
        }
        LaxNetSlice::Ipv6(ip) => {
            let ip = ip.header();
            Some([ip.source_addr().into(), ip.destination_addr().into()])
        }
        LaxNetSlice::Arp(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::VlanId;

    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let headers = Headers {
            src_mac: [2, 0, 0, 0, 0, 1],
            dst_mac: [2, 0, 0, 0, 0, 0xab],
            from: "198.51.100.7:40000".parse().expect("an address"),
            to: "203.0.113.10:80".parse().expect("an address"),
            flags: "syn,ack".parse().expect("flags"),
        };
        let read = Headers::of(&headers.frame().expect("written")).expect("a segment");
        assert_eq!((read.from, read.to, read.flags), (headers.from, headers.to, headers.flags));
        let sent = read.sent("eth1".to_owned());
        assert_eq!(sent.from_mac, "02:00:00:00:00:01");
        assert_eq!(sent.to_mac.as_deref(), Some("02:00:00:00:00:ab"));
        assert!(Headers::of(&[0; 60]).is_none());
        let long = PacketBuilder::ethernet2([2; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9);
        let mut frame = Vec::new();
        long.tcp(1, 2, 3, 4).write(&mut frame, &[7; 1_000]).expect("written");
        assert_eq!(Headers::of(&frame[..256]).map(|one| one.to.port()), Some(2), "cut off");
    }

    #[test]
    fn fragments_and_tagged_frames_have_hosts() {
        let [from, to] = [[198, 51, 100, 7], [203, 0, 113, 10]];
        let both = Some([from, to].map(IpAddr::from));
        let mut tagged = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [2; 6]);
        let builder = builder.single_vlan(VlanId::ZERO).ipv4(from, to, 9).tcp(1, 2, 3, 4);
        builder.write(&mut tagged, &[]).expect("written");
        assert_eq!(hosts(&tagged), both);
        assert_eq!(Headers::of(&tagged).map(|one| one.to.port()), Some(2));
        let mut fragment = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [2; 6]).ipv4(from, to, 9).tcp(1, 2, 3, 4);
        builder.write(&mut fragment, &[7; 64]).expect("written");
        // Its offset: it is not the first one.
        fragment[21] = 8;
        assert!(Headers::of(&fragment).is_none());
        assert_eq!(hosts(&fragment), both);
        assert_eq!(hosts(&[0; 60]), None);
    }
}
