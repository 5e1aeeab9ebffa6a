//! Packets that cannot be forwarded are not left to the host, which would reset them.

use lb_common::reason::Reason;
use lb_tests::{
    frame::{Flags, Segment},
    object::{Action, Object},
};

use super::testbed::{VIP, balancer, client, connect, key_of};

const IP: usize = 14;
const TCP: usize = IP + 20;

fn assert_becomes(object: &mut Object, frame: &[u8], action: Action, reason: Reason) {
    let run = object.run(frame);
    assert_eq!((run.action, run.reason), (action, reason));
    assert_eq!(run.frame, frame, "nothing is rewritten");
}

/// Returns the segment's frame with this many words of options, and this fragment field.
fn with_options(segment: &Segment, words: u8, fragment: [u8; 2]) -> Vec<u8> {
    let mut frame = segment.frame();
    let room = usize::from(words) * 4;
    frame[IP] += words;
    let length = u16::from_be_bytes([frame[IP + 2], frame[IP + 3]]) + u16::from(words) * 4;
    frame[IP + 2..IP + 4].copy_from_slice(&length.to_be_bytes());
    frame[IP + 6..IP + 8].copy_from_slice(&fragment);
    // "No operation".
    frame.splice(TCP..TCP, vec![1; room]);
    frame
}

#[test]
#[ignore = "needs root"]
fn options_and_fragments_of_any_connection_are_dropped_by_name() {
    let mut object = balancer();
    connect(&mut object, 40_000);
    let before = object.progress(&key_of(40_000));
    for port in [40_000, 40_001] {
        for flags in [Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST, Flags::NONE] {
            let segment = Segment::new(client(port), VIP, flags).with_payload(&[7; 64]);
            for words in 1..=10 {
                for fragment in [[0, 0], [0x40, 0], [0x20, 0]] {
                    let frame = with_options(&segment, words, fragment);
                    let reason = Reason::IpOptionsToService;
                    assert_becomes(&mut object, &frame, Action::Drop, reason);
                }
            }
            let first = with_options(&segment, 0, [0x20, 0]);
            assert_becomes(&mut object, &first, Action::Drop, Reason::FragmentToService);
        }
    }
    assert_eq!(object.progress(&key_of(40_000)), before);
    assert_eq!(object.flows().len(), 2);
}

/// A fragment with the minimum of eight bytes of TCP, with and without Ethernet's padding.
#[test]
#[ignore = "needs root"]
fn a_tiny_first_fragment_is_dropped_by_name() {
    let mut object = balancer();
    let segment = Segment::new(client(40_000), VIP, Flags::SYN);
    let mut tiny = with_options(&segment, 0, [0x20, 0]);
    tiny[IP + 3] = 28;
    for length in [TCP + 8, tiny.len()] {
        let reason = Reason::FragmentToService;
        assert_becomes(&mut object, &tiny[..length], Action::Drop, reason);
    }
}

/// Without the first fragment the host's stack reassembles nothing.
#[test]
#[ignore = "needs root"]
fn later_fragments_are_the_hosts_to_forget() {
    let mut object = balancer();
    let segment = Segment::new(client(40_000), VIP, Flags::ACK);
    for fragment in [[0, 1], [0x20, 1], [0x1f, 0xff]] {
        let frame = with_options(&segment, 0, fragment);
        assert_becomes(&mut object, &frame, Action::Pass, Reason::Fragment);
        let frame = with_options(&segment, 2, fragment);
        assert_becomes(&mut object, &frame, Action::Pass, Reason::IpOptions);
    }
}

#[test]
#[ignore = "needs root"]
fn the_hosts_own_packets_are_the_hosts() {
    let mut object = balancer();
    for (words, fragment, reason) in [
        (1, [0, 0], Reason::IpOptions),
        (10, [0, 0], Reason::IpOptions),
        (0, [0x20, 0], Reason::Fragment),
        (0, [0, 0], Reason::NotOurs),
    ] {
        let mut segment = Segment::new(client(40_000), VIP, Flags::SYN);
        segment.dst.set_port(22);
        let frame = with_options(&segment, words, fragment);
        assert_becomes(&mut object, &frame, Action::Pass, reason);
    }
}

#[test]
#[ignore = "needs root"]
fn a_time_to_live_that_ends_here_ends_here() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let before = object.progress(&key_of(40_000));
    for ttl in [0, 1] {
        for flags in [Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST] {
            let known = Segment { ttl, ..Segment::new(client(40_000), VIP, flags) };
            let answer = Segment { ttl, ..opened.answer(flags) };
            for segment in [known, answer] {
                let reason = Reason::TtlExpired;
                assert_becomes(&mut object, &segment.frame(), Action::Drop, reason);
            }
        }
        let new = Segment { ttl, ..Segment::new(client(40_001), VIP, Flags::SYN) };
        assert_becomes(&mut object, &new.frame(), Action::Drop, Reason::TtlExpired);
    }
    assert_eq!(object.progress(&key_of(40_000)), before);
    assert_eq!(object.flows().len(), 2);
}

/// A closed connection is replaced only by a packet that is forwarded, not by one that expires
/// here.
#[test]
#[ignore = "needs root"]
fn a_syn_whose_time_to_live_ends_replaces_nothing() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    super::testbed::reply(&mut object, &opened.answer(Flags::RST));
    let before = object.progress(&key_of(40_000));
    let new = Segment { ttl: 1, ..Segment::new(client(40_000), VIP, Flags::SYN) };
    assert_becomes(&mut object, &new.frame(), Action::Drop, Reason::TtlExpired);
    assert_eq!(object.progress(&key_of(40_000)), before);
}
