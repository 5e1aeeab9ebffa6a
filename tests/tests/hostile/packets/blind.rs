//! Neither one side alone nor a third party can end a connection.

use lb_common::{
    flow::{State, WINDOW, flags_seen},
    reason::Reason,
};
use lb_tests::{
    frame::{BALANCER_MAC, CLIENT_ISN, CLIENT_MAC, Flags, Segment},
    object::Object,
};

use super::{
    lasting,
    testbed::{VIP, backend, balancer, client, connect, forward, key_of, reply, syn},
};

/// The next sequence number that the backend expects from the client.
const NEXT: u32 = CLIENT_ISN + 1;

/// Segments sent in the client's name.
#[derive(Clone, Copy, Debug)]
enum Blind {
    Rst,
    RstAck,
    Fin,
    Syn,
    Data,
}

const BLIND: [Blind; 5] = [Blind::Rst, Blind::RstAck, Blind::Fin, Blind::Syn, Blind::Data];

/// Sequence numbers outside the window.
const GUESSES: [u32; 4] =
    [NEXT.wrapping_add(WINDOW + 1), NEXT.wrapping_sub(2), NEXT ^ 1 << 31, NEXT ^ 0x5555_5555];

fn of_client(flags: Flags, sequence: u32) -> Segment {
    Segment { sequence, ..Segment::new(client(40_000), VIP, flags) }
}

impl Blind {
    fn segment(self, sequence: u32) -> Segment {
        match self {
            Self::Rst => of_client(Flags::RST, sequence),
            Self::RstAck => of_client(Flags::RST_ACK, sequence),
            Self::Fin => of_client(Flags::FIN, sequence),
            Self::Syn => of_client(Flags::SYN, sequence),
            Self::Data => of_client(Flags::ACK, sequence).with_payload(b"forged"),
        }
    }
}

fn state(object: &Object) -> State {
    object.state(&key_of(40_000)).expect("known")
}

#[test]
#[ignore = "needs root"]
fn blind_segments_change_nothing_in_any_order() {
    for one in BLIND {
        for other in BLIND {
            for is_busy in [false, true] {
                let mut object = balancer();
                let opened = connect(&mut object, 40_000);
                let before = lasting(&object, 40_000);
                for sequence in GUESSES {
                    for blind in [one, other] {
                        let sent = forward(&mut object, &blind.segment(sequence));
                        assert_eq!((sent.src, sent.dst), (opened.src, opened.dst));
                        if is_busy {
                            // A challenge ACK looks like this.
                            reply(&mut object, &opened.answer(Flags::ACK));
                            forward(&mut object, &of_client(Flags::ACK, NEXT));
                        }
                    }
                    let after = lasting(&object, 40_000);
                    assert_eq!(after, before, "{one:?} {other:?} {sequence}");
                }
            }
        }
    }
}

#[test]
#[ignore = "needs root"]
fn an_honest_reset_or_fin_counts_after_blind_ones() {
    for blind in BLIND {
        for (flags, expected) in [
            (Flags::RST, State::Closed),
            (Flags::RST_ACK, State::Closed),
            (Flags::FIN, State::Closing),
        ] {
            for sequence in [NEXT, NEXT + 100, NEXT + WINDOW] {
                let mut object = balancer();
                connect(&mut object, 40_000);
                forward(&mut object, &blind.segment(NEXT ^ 1 << 31));
                forward(&mut object, &of_client(flags, sequence));
                assert_eq!(state(&object), expected, "{blind:?} {flags:?} {sequence}");
            }
        }
    }
}

/// On a busy connection the window moves with what the backend has acknowledged.
#[test]
#[ignore = "needs root"]
fn the_window_follows_the_backend() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let far = NEXT + 3 * WINDOW;
    forward(&mut object, &of_client(Flags::RST, far));
    assert_eq!(state(&object), State::Established);
    let acknowledgement = far - 10;
    reply(&mut object, &Segment { acknowledgement, ..opened.answer(Flags::ACK) });
    // An older number does not move it back.
    reply(&mut object, &opened.answer(Flags::ACK));
    forward(&mut object, &of_client(Flags::RST, NEXT));
    assert_eq!(state(&object), State::Established);
    forward(&mut object, &of_client(Flags::RST, far));
    assert_eq!(state(&object), State::Closed);
}

/// A lucky guess is contradicted by the backend.
#[test]
#[ignore = "needs root"]
fn a_challenge_ack_takes_a_reset_back() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    forward(&mut object, &of_client(Flags::RST, NEXT + 500));
    assert_eq!(state(&object), State::Closed);
    reply(&mut object, &opened.answer(Flags::ACK));
    assert_eq!(state(&object), State::Established);
    // The client's own answer to it has the exact number.
    forward(&mut object, &of_client(Flags::RST, NEXT));
    assert_eq!(state(&object), State::Closed);
}

#[test]
#[ignore = "needs root"]
fn a_syn_goes_by_the_same_port_until_both_have_closed() {
    /// Flags and sequence number.
    type Sent = (Flags, u32);
    /// Segments before the SYN, of the client and of the backend.
    const HISTORIES: [(&[Sent], &[Flags]); 5] = [
        (&[], &[]),
        // It may be blind: its number is not the very one that the backend expects.
        (&[(Flags::RST, NEXT + 1)], &[]),
        (&[(Flags::FIN, NEXT)], &[]),
        (&[], &[Flags::FIN]),
        (&[(Flags::RST, NEXT)], &[Flags::ACK]),
    ];
    for (of_the_client, of_the_backend) in HISTORIES {
        let mut object = balancer();
        let opened = connect(&mut object, 40_000);
        for (flags, sequence) in of_the_client {
            forward(&mut object, &of_client(*flags, *sequence));
        }
        for flags in of_the_backend {
            reply(&mut object, &opened.answer(*flags));
        }
        for sequence in [CLIENT_ISN, 77] {
            let again = forward(&mut object, &Segment { sequence, ..syn(40_000) });
            assert_eq!((again.src, again.dst), (opened.src, opened.dst));
        }
        assert_eq!(object.traffic(1).connections, 1);
    }
}

#[test]
#[ignore = "needs root"]
fn a_syn_opens_a_new_connection_when_both_have_closed_or_one_has_reset() {
    const ENDS: [(&[Flags], &[Flags]); 4] = [
        (&[], &[Flags::RST]),
        (&[Flags::FIN], &[Flags::FIN]),
        (&[Flags::RST], &[Flags::RST]),
        (&[Flags::RST], &[]),
    ];
    for (of_the_client, of_the_backend) in ENDS {
        let mut object = balancer();
        let opened = connect(&mut object, 40_000);
        for flags in of_the_client {
            forward(&mut object, &of_client(*flags, NEXT));
        }
        for flags in of_the_backend {
            reply(&mut object, &opened.answer(*flags));
        }
        assert_eq!(state(&object), State::Closed);
        let again = forward(&mut object, &syn(40_000));
        assert_ne!((again.src, again.dst), (opened.src, opened.dst));
        assert_eq!(again.dst, backend(2));
    }
}

/// Its reset has the very number that the backend has just told it.
#[test]
#[ignore = "needs root"]
fn a_client_that_has_forgotten_its_connection_gets_a_new_one() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    // As in RFC 9293, section 3.5.1: the backend asks, the client knows nothing of it and resets.
    forward(&mut object, &Segment { sequence: 5_000, ..syn(40_000) });
    reply(&mut object, &opened.answer(Flags::ACK));
    forward(&mut object, &of_client(Flags::RST, NEXT));
    let again = forward(&mut object, &Segment { sequence: 5_000, ..syn(40_000) });
    assert_ne!((again.src, again.dst), (opened.src, opened.dst));
    let answer = Segment { sequence: 90, acknowledgement: 5_001, ..again.answer(Flags::SYN_ACK) };
    reply(&mut object, &answer);
    assert_eq!(state(&object), State::HalfOpen);
    let ack = of_client(Flags::ACK, 5_001);
    forward(&mut object, &Segment { acknowledgement: 91, ..ack });
    assert_eq!(state(&object), State::Answered);
}

#[test]
#[ignore = "needs root"]
fn icmp_errors_change_nothing() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let before = object.progress(&key_of(40_000));
    let quoted = [&forward(&mut object, &of_client(Flags::ACK, NEXT)), &opened];
    for (segment, code) in quoted.into_iter().flat_map(|one| (0..16).map(move |code| (one, code))) {
        for destination in [VIP.ip(), opened.src.ip()] {
            let mut frame = Vec::new();
            etherparse::PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC)
                .ipv4([192, 0, 2, 1], destination.octets(), 64)
                .icmpv4_raw(3, code, [0; 4])
                .write(&mut frame, &segment.frame()[14..14 + 28])
                .expect("builds");
            assert_eq!(object.run(&frame).reason, Reason::NotTcp);
        }
    }
    assert_eq!(object.progress(&key_of(40_000)), before);
    assert_eq!(before.expect("known").0 & flags_seen::CLIENT_RST, 0);
}
