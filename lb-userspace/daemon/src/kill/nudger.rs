//! Segments that make an end of a TCP connection send one, whatever it expects.

use std::{io, net::SocketAddrV4};

use etherparse::PacketBuilder;
use lb_dataplane::listing::Killed;
use socket2::{Domain, Protocol, Socket, Type};

const TTL: u8 = 64;

/// Distance of a number from those in use that no window reaches.
const FAR: u32 = 1 << 30;

/// Sends nudges: segments without data that are out of date, which a TCP connection answers by an
/// acknowledgement with the number that it expects. They change nothing in it.
pub(super) struct Nudger(Socket);

impl Nudger {
    pub(super) fn open() -> io::Result<Self> {
        let protocol = Protocol::from(libc::IPPROTO_RAW);
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol))?;
        socket.set_header_included_v4(true)?;
        Ok(Self(socket))
    }

    pub(super) fn nudge(&self, killed: &Killed) -> io::Result<()> {
        let Killed { client, vip, source, backend, number, .. } = *killed;
        // One end must learn of it even if there is no route to the other.
        let to_backend = self.send(source, backend, to_backend(number));
        let to_client = self.send(vip, client, to_client(number));
        to_backend.and(to_client)
    }

    fn send(&self, from: SocketAddrV4, to: SocketAddrV4, numbers: Numbers) -> io::Result<()> {
        let packet = segment(from, to, numbers);
        // Of a raw socket the port is none.
        self.0.send_to(&packet, &SocketAddrV4::new(*to.ip(), 0).into()).map(drop)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    sequence: u32,
    acknowledgement: u32,
}

/// What the backend has acknowledged comes again: RFC 9293, section 3.10.7.4.
const fn to_backend(number: u32) -> Numbers {
    let sequence = number.wrapping_sub(1);
    Numbers { sequence, acknowledgement: number.wrapping_sub(FAR) }
}

/// The number that the client expects is not known. One outside of its window it answers; if this one is
/// within it, it answers the acknowledgement, which is far too old: RFC 5961, section 5.2.
const fn to_client(number: u32) -> Numbers {
    Numbers { sequence: 0, acknowledgement: number.wrapping_sub(FAR) }
}

fn segment(from: SocketAddrV4, to: SocketAddrV4, numbers: Numbers) -> Vec<u8> {
    let Numbers { sequence, acknowledgement } = numbers;
    let builder = PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), TTL)
        .tcp(from.port(), to.port(), sequence, 0)
        .ack(acknowledgement);
    let mut packet = Vec::with_capacity(builder.size(0));
    if let Err(error) = builder.write(&mut packet, &[]) {
        unreachable!("{error}: headers without data fit into any packet");
    }
    packet
}

#[cfg(test)]
mod tests {
    use etherparse::SlicedPacket;

    use super::*;

    #[test]
    fn a_nudge_is_a_whole_segment_of_these_ends() {
        let [from, to] =
            ["203.0.113.10:80", "198.51.100.7:4711"].map(|end| end.parse().expect("an address"));
        let packet = segment(from, to, to_client(5));
        let sliced = SlicedPacket::from_ip(&packet).expect("an IP packet");
        let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else { panic!("{sliced:?}") };
        let Some(etherparse::TransportSlice::Tcp(tcp)) = &sliced.transport else {
            panic!("{sliced:?}")
        };
        let header = tcp.to_header();
        assert_eq!((header.source_port, header.destination_port), (80, 4_711));
        assert!(header.ack && !header.syn && !header.rst && !header.fin, "{header:?}");
        assert_eq!(header.acknowledgment_number, 5_u32.wrapping_sub(FAR));
        let checksum = header.calc_checksum_ipv4(&ip.header().to_header(), &[]);
        assert_eq!(checksum, Ok(header.checksum));
    }

    #[test]
    fn nudges_are_out_of_date_wherever_numbers_wrap() {
        for number in [0, 1, 7, u32::MAX] {
            let age = |old: u32| number.wrapping_sub(old);
            assert_eq!(age(to_backend(number).sequence), 1);
            assert_eq!(age(to_client(number).acknowledgement), FAR);
        }
    }
}
