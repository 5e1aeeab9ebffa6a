//! Frames through the program's own parser, table, rewriting and resets: frames that etherparse
//! takes for a TCP segment are parsed, forwarded frames are whole packets of the pair, and nothing
//! panics.

#![no_main]

#[path = "../../lb-ebpf/src/parse.rs"]
#[expect(clippy::inline_always, reason = "as in the kernel")]
mod parse;

use bytemuck::bytes_of;
use etherparse::{Ipv4HeaderSlice, PacketBuilder, TcpSlice};
use lb_common::{
    backend::Backend,
    client_hops::NO_SLOT,
    flow::{Direction, FlowKey, Progress, Rewrite, flags_seen},
    mapped,
    reason::Reason,
    reset,
    table::{
        Entry as _, Found, Known, Opening, Seed, SharedBackend, SharedBucket, SharedTable, find,
        open, refuse, replace_closed, track,
    },
    tcp::{self, Segment},
    wire::Headers,
};
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};

/// Stub of the module that `parse.rs` reads frames by.
mod raw {
    use bytemuck::Pod;

    pub(crate) struct Packet {
        pub(crate) bytes: Vec<u8>,
        /// Number of bytes in the first buffer.
        pub(crate) linear: usize,
    }

    impl Packet {
        pub(crate) fn length(&self) -> usize {
            self.linear
        }

        pub(crate) fn at<T: Pod>(&mut self, offset: usize) -> Option<&mut T> {
            let header = self.bytes[..self.linear].get_mut(offset..offset + size_of::<T>())?;
            Some(bytemuck::from_bytes_mut(header))
        }

        pub(crate) fn holds(&self, length: usize) -> bool {
            length <= self.bytes.len()
        }
    }
}

const VIP: [u8; 4] = [203, 0, 113, 10];
const BACKEND: [u8; 4] = [10, 0, 0, 11];
const OURS: [u8; 4] = [10, 0, 0, 1];
const HTTP: u16 = 80;
const HEADERS: usize = size_of::<Headers>();

/// A segment of one of a few connections, and its damage in transit.
#[derive(Arbitrary, Debug)]
struct Sent {
    client: u8,
    /// Source port, if it is the backend's.
    from_backend: Option<u8>,
    flags: u8,
    ttl: u8,
    sequence: u32,
    /// The last number that its sender has received.
    received: u32,
    payload: u8,
    /// Offsets, and the bytes that replace those there.
    damage: Vec<(u8, u8)>,
    /// Number of bytes cut off.
    cut: u8,
    /// Number of bytes in a second buffer.
    behind: u8,
}

impl Sent {
    fn frame(&self) -> Vec<u8> {
        let (src, src_port, dst, dst_port) = match self.from_backend {
            None => ([192, 0, 2, self.client % 8], 1_024, VIP, HTTP),
            Some(port) => (BACKEND, HTTP, OURS, 1_024 + u16::from(port)),
        };
        let mut frame = Vec::new();
        let mut segment = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(src, dst, self.ttl).tcp(
            src_port,
            dst_port,
            self.sequence,
            512,
        );
        let has = |flag| self.flags & flag != 0;
        if has(tcp::SYN) {
            segment = segment.syn();
        }
        if has(tcp::FIN) {
            segment = segment.fin();
        }
        if has(tcp::RST) {
            segment = segment.rst();
        }
        if has(tcp::ACK) {
            segment = segment.ack(self.received.wrapping_add(1));
        }
        segment.write(&mut frame, &vec![7; self.payload.into()]).expect("builds");
        for (index, byte) in &self.damage {
            let index = usize::from(*index) % frame.len();
            frame[index] = *byte;
        }
        frame.truncate(frame.len() - usize::from(self.cut).min(frame.len()));
        frame
    }
}

struct Balancer<'a> {
    table: SharedTable<'a>,
    ports: u16,
    now: u32,
}

impl<'a> Balancer<'a> {
    /// Handles a frame as the program does, and rewrites it in place.
    fn forward(&mut self, headers: &mut Headers) -> Result<(), Reason> {
        let key = FlowKey::of(headers);
        let segment = Segment::of(headers);
        let found = find(self.table, &key).expect("nobody else is there");
        let known = found.filter(|known| !(tcp::opens(segment.flags) && self.replaces(known.hit)));
        let entry = match known {
            Some(known) => known.hit,
            None => self.admit(&key, &segment)?,
        };
        parse::time_to_live(headers)?;
        let (before, direction) = (entry.tag.flags_seen(), entry.direction());
        if before & flags_seen::QUARANTINED != 0 {
            return Err(Reason::Quarantined);
        }
        if !tcp::is_possible(segment.flags) {
            return Err(Reason::BadFlags);
        }
        if direction == Direction::ToClient && is_refused(entry, &segment) {
            refuse(self.table, entry);
            return Err(Reason::Refused);
        }
        let after = track(self.table, entry, &segment).expect("no other thread writes an entry");
        if tcp::is_usual(segment.flags) && flags_seen::are_settled(before, direction) {
            assert_eq!(before, after, "a usual segment changes flags seen");
        }
        entry.entry.set_last_seen(self.now);
        let to = entry.snapshot(self.table).expect("nobody else is there").to;
        Rewrite::new(&key, &to).apply(headers);
        assert_eq!(FlowKey::of(headers), to);
        if let Some(Known { pair, backend, .. }) = known {
            assert_eq!(pair.target(key.protocol(), direction, &backend), to);
        }
        self.leads_back(&key, &to, direction, after);
        Ok(())
    }

    /// Returns true if a SYN on a known tuple opens a new connection.
    fn replaces(&self, hit: Found<SharedTable<'a>>) -> bool {
        replace_closed(self.table, hit, false, self.now).expect("nobody else is there")
    }

    fn admit(
        &mut self,
        key: &FlowKey,
        segment: &Segment,
    ) -> Result<Found<SharedTable<'a>>, Reason> {
        if (key.dst(), key.dst_port()) != (VIP, HTTP.to_be_bytes()) {
            return Err(Reason::NotOurs);
        }
        if !tcp::is_possible(segment.flags) {
            return Err(Reason::BadFlags);
        }
        if segment.has(tcp::RST) {
            return Err(Reason::StrayReset);
        }
        if !tcp::opens(segment.flags) {
            return Err(Reason::ResetUnknownFlow);
        }
        self.ports = self.ports.wrapping_add(1) % 256;
        let port = (1_024 + self.ports).to_be_bytes();
        let outside = FlowKey::tcp(OURS, port, BACKEND, HTTP.to_be_bytes());
        let (number, now) = (segment.sequence, self.now);
        let opening = Opening { inside: key, hop: NO_SLOT, backend: 0, seen: 0, number, now };
        Ok(open(self.table, &opening, &outside)?)
    }

    /// Fails unless an answer to the forwarded packet belongs to the same connection.
    fn leads_back(&self, from: &FlowKey, to: &FlowKey, direction: Direction, seen: u16) {
        let answer = find(self.table, &to.turned()).expect("nobody else is there");
        let Some(Known { hit: answer, .. }) = answer else {
            assert!(direction == Direction::ToBackend, "an entry towards the backend is alone");
            panic!("a connection of one entry: {from:?}");
        };
        assert_eq!(answer.partner_key(self.table), *from);
        assert_ne!(answer.direction(), direction);
        let both = [answer.tag.flags_seen(), seen].map(|seen| seen & !flags_seen::TO_CLIENT);
        assert_eq!(both[0], both[1], "two opinions");
    }
}

/// Returns true if a backend's segment refuses the connection of this entry towards the client.
fn is_refused(entry: Found<SharedTable>, segment: &Segment) -> bool {
    let (seen, number) = (entry.tag.flags_seen(), entry.entry.extra());
    Progress { seen, number, other: 0 }.is_refused_by(segment)
}

/// Returns true if the fast path takes such a frame, as judged by another library.
fn is_taken(frame: &[u8], linear: usize) -> bool {
    let is_ipv4 = frame.get(12..14) == Some(&[8, 0]);
    let Some(ip) = frame.get(14..).filter(|_| is_ipv4 && linear >= HEADERS) else { return false };
    let Ok(ip) = Ipv4HeaderSlice::from_slice(ip) else { return false };
    let plain = ip.ihl() == 5 && ip.protocol().0 == 6 && !ip.is_fragmenting_payload();
    let length = usize::from(ip.total_len());
    let segment = frame.get(34..14 + length);
    plain && segment.is_some_and(|segment| TcpSlice::from_slice(segment).is_ok())
}

/// Returns true for each of the IP and TCP checksums that a receiver accepts.
fn checksums(frame: &[u8]) -> (bool, bool) {
    /// Compares checksums: zero has two forms.
    fn same(one: u16, other: u16) -> bool {
        one % u16::MAX == other % u16::MAX
    }
    let ip = Ipv4HeaderSlice::from_slice(&frame[14..]).expect("IPv4").to_header();
    let segment = &frame[34..14 + usize::from(ip.total_len)];
    let tcp = TcpSlice::from_slice(segment).expect("TCP");
    let sum = tcp.calc_checksum_ipv4(ip.source, ip.destination).expect("short");
    (same(ip.header_checksum, ip.calc_header_checksum()), same(tcp.checksum(), sum))
}

fn answer_by_reset(mut headers: Headers) {
    reset::answer(&mut headers);
    assert_eq!(checksums(bytes_of(&headers)), (true, true));
    assert_ne!(headers.tcp.flags & tcp::RST, 0);
}

fn receive(balancer: &mut Balancer, sent: &Sent) {
    let frame = sent.frame();
    let linear = frame.len() - usize::from(sent.behind).min(frame.len());
    let expected = is_taken(&frame, linear);
    let right = expected.then(|| checksums(&frame));
    let mut packet = raw::Packet { bytes: frame.clone(), linear };
    let forwarded = match parse::headers(&mut packet) {
        Ok(headers) => {
            assert!(expected, "parsed what is none");
            let received = *headers;
            let forwarded = balancer.forward(headers);
            if forwarded == Err(Reason::ResetUnknownFlow) {
                answer_by_reset(received);
            }
            forwarded
        }
        Err(reason) => {
            assert!(!expected, "not parsed: {reason:?}");
            Err(reason)
        }
    };
    match (forwarded, right) {
        (Ok(()), Some(right)) => assert_eq!(checksums(&packet.bytes), right),
        _ => assert_eq!(packet.bytes, frame, "changed, and not forwarded"),
    }
}

fuzz_target!(|segments: Vec<Sent>| {
    let buckets: Vec<_> = (0..4).map(|_| SharedBucket::default()).collect();
    let backends = [SharedBackend::new(&Backend {
        address: mapped(BACKEND),
        port: HTTP.to_be_bytes(),
        vip: mapped(VIP),
        vip_port: HTTP.to_be_bytes(),
        ..Backend::default()
    })];
    let table = SharedTable { buckets: &buckets, backends: &backends, seed: Seed::of_number(1) };
    let mut balancer = Balancer { table, ports: 0, now: 1 << 20 };
    for sent in &segments {
        receive(&mut balancer, sent);
        balancer.now += 64;
    }
});
