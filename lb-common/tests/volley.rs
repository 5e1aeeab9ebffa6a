//! The generator's frames, parsed by etherparse.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use lb_common::{template::FRAME_LENGTH, volley::Volley};

#[test]
fn every_source_has_whole_checksums() {
    let ports = (40_000, 80);
    let packet =
        PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([198, 18, 0, 1], [203, 0, 113, 10], 64);
    let mut bytes = Vec::new();
    packet.tcp(ports.0, ports.1, 7, 64_000).syn().write(&mut bytes, &[]).unwrap();
    bytes.resize(FRAME_LENGTH, 0);

    let mut volley = Volley::new(bytes.try_into().unwrap(), 32, 3);
    let mut sources = std::collections::HashSet::new();
    for _ in 0..10_000 {
        let mut frame = [0; FRAME_LENGTH / 8];
        volley.write_next(&mut frame);
        let frame: [u8; FRAME_LENGTH] = bytemuck::must_cast(frame);
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let ip = sliced.net.as_ref().and_then(|net| net.ipv4_ref()).unwrap().header().to_header();
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("not TCP") };
        let tcp = tcp.to_header();
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, &[]).unwrap());
        sources.insert((ip.source, tcp.source_port));
    }
    assert_eq!(sources.len(), 10_000);
}
