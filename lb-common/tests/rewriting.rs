//! Rewrites and resets, verified by etherparse.

use bytemuck::{bytes_of, from_bytes};
use etherparse::{Ipv4HeaderSlice, PacketBuilder, TcpSlice};
use lb_common::{
    flow::{Direction, Endpoints, Family, FlowKey, Pair, Protocol, Rewrite, Tuple, V4, V6},
    limits::{BACKEND_BITS, CLIENT_HOP_BITS},
    reset,
    tcp::{ACK, FIN, RST, SYN},
    unmapped,
    wire::Headers,
};
use proptest::prelude::*;

const HEADERS: usize = size_of::<Headers>();

prop_compose! {
    fn tuple()(src: [u8; 4], dst: [u8; 4], src_port: [u8; 2], dst_port: [u8; 2]) -> FlowKey {
        FlowKey::tcp(src, src_port, dst, dst_port)
    }
}

fn frame(tuple: &FlowKey, ttl: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let [src_port, dst_port] = [tuple.src_port(), tuple.dst_port()].map(u16::from_be_bytes);
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4(tuple.src(), tuple.dst(), ttl)
        .tcp(src_port, dst_port, sequence, 512)
        .write(&mut frame, payload)
        .expect("builds");
    frame
}

fn headers(frame: &[u8]) -> Headers {
    *from_bytes(&frame[..HEADERS])
}

fn assert_checksums(headers: &Headers, payload: &[u8]) {
    let bytes = bytes_of(headers);
    let ip = Ipv4HeaderSlice::from_slice(&bytes[14..34]).expect("IPv4").to_header();
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    let segment = [&bytes[34..], payload].concat();
    let tcp = TcpSlice::from_slice(&segment).expect("TCP");
    let sum = tcp.calc_checksum_ipv4(ip.source, ip.destination).expect("short");
    assert_eq!(tcp.checksum(), sum);
}

proptest! {
    #[test]
    fn a_rewrite_keeps_both_checksums_right(
        from in tuple(), to in tuple(), ttl in 2_u8.., sequence: u32,
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut headers = headers(&frame(&from, ttl, sequence, &payload));
        Rewrite::new(&from, &to).apply(&mut headers);
        prop_assert_eq!((FlowKey::of(&headers), headers.ip.ttl), (to, ttl - 1));
        assert_checksums(&headers, &payload);
    }

    #[test]
    fn both_entries_of_a_pair_lead_to_each_other(
        addresses: [[u8; 16]; 4], ports: [[u8; 2]; 4], backend in 0_u32..1 << BACKEND_BITS,
        hops in [0_u32..1 << CLIENT_HOP_BITS, 0_u32..1 << CLIENT_HOP_BITS], is_udp: bool,
    ) {
        let protocol = if is_udp { Protocol::Udp } else { Protocol::Tcp };
        lead_to_each_other::<V6>(protocol, addresses, ports, backend, hops)?;
        lead_to_each_other::<V4>(protocol, addresses.map(unmapped), ports, backend, hops)?;
    }

    #[test]
    fn a_reset_is_a_whole_packet_that_the_sender_accepts(
        tuple in tuple(), sequence: u32, acknowledgement: u32, flags in 0_u8..64,
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut segment = headers(&frame(&tuple, 64, sequence, &payload));
        segment.tcp.acknowledgement = acknowledgement.to_be_bytes();
        segment.tcp.flags = flags;
        let mut answer = segment;
        reset::answer(&mut answer);
        assert_checksums(&answer, &[]);
        prop_assert_eq!(FlowKey::of(&answer), tuple.turned());
        prop_assert_eq!(answer.ethernet.dst, segment.ethernet.src);
        let [answered, acknowledged] =
            [answer.tcp.sequence, answer.tcp.acknowledgement].map(u32::from_be_bytes);
        if flags & ACK != 0 {
            prop_assert_eq!((answer.tcp.flags, answered), (RST, acknowledgement));
        } else {
            let control = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
            let length = u32::try_from(payload.len()).expect("short") + control;
            prop_assert_eq!(answer.tcp.flags, RST | ACK);
            prop_assert_eq!((answered, acknowledged), (0, sequence.wrapping_add(length)));
        }
    }
}

fn lead_to_each_other<F: Family>(
    protocol: Protocol,
    [client, vip, source, server]: [F::Address; 4],
    [client_port, vip_port, source_port, backend_port]: [[u8; 2]; 4],
    backend: u32,
    hops: [u32; 2],
) -> Result<(), TestCaseError> {
    let ends = Endpoints::<F> { vip, vip_port, backend: server, backend_port };
    let inside = Tuple::<F>::new(protocol, (client, client_port), (vip, vip_port));
    let outside = Tuple::new(protocol, (source, source_port), (server, backend_port));
    let pair = Pair::new(&inside, &outside, backend, hops[0]).with_hop(hops[1]);
    prop_assert_eq!((pair.backend(), pair.hop(), pair.client()), (backend, hops[1], client));
    prop_assert!(pair.is_same(Pair::new(&inside, &outside, backend, hops[0])));
    prop_assert!(!pair.is_same(Pair::new(&inside, &outside, backend ^ 1, hops[1])));
    for (direction, key, to) in [
        (Direction::ToBackend, inside, outside),
        (Direction::ToClient, outside.turned(), inside.turned()),
    ] {
        prop_assert_eq!(pair.key(protocol, direction, &ends), key);
        prop_assert_eq!(pair.target(protocol, direction, &ends), to);
        prop_assert_eq!(pair.partner(protocol, direction, &ends), to.turned());
    }
    prop_assert_eq!(Pair::<F>::one_way(&inside, backend, hops[0]).inside(protocol, &ends), inside);
    Ok(())
}
