//! An unfinished handshake is cheap, whatever its flags.

use lb_common::{flow::State, reason::Reason, stats::Incident};
use lb_tests::{
    frame::{Flags, Segment},
    object::{Action, Object},
};

use super::{
    crafted::with_flags,
    spoofed,
    testbed::{
        VIP, balancer, balancer_with, client, connect, cpus, forward, key_of, on, reply, states,
        syn,
    },
};

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;
const URG: u8 = 32;

/// Combinations of flags that no TCP stack sends.
const IMPOSSIBLE: [u8; 17] = [
    0,
    0xff,
    FIN | SYN | RST | ACK,
    SYN | FIN,
    SYN | FIN | ACK,
    SYN | FIN | PSH | URG,
    SYN | RST,
    SYN | RST | ACK,
    SYN | FIN | RST,
    FIN,
    FIN | PSH | URG,
    FIN | RST,
    FIN | RST | ACK,
    PSH,
    URG,
    PSH | URG,
    0xc0,
];

fn assert_bad(object: &mut Object, frame: &[u8]) {
    let run = object.run(frame);
    assert_eq!((run.action, run.reason), (Action::Drop, Reason::BadFlags), "{:#x}", frame[47]);
}

#[test]
#[ignore = "needs root"]
fn impossible_flags_open_nothing() {
    let mut object = balancer();
    for flags in IMPOSSIBLE {
        assert_bad(&mut object, &with_flags(&syn(40_000), flags));
    }
    assert!(object.flows().is_empty());
}

#[test]
#[ignore = "needs root"]
fn impossible_flags_change_no_connection() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    forward(&mut object, &syn(40_001));
    let before = [40_000, 40_001].map(|port| object.progress(&key_of(port)));
    for flags in IMPOSSIBLE {
        for port in [40_000, 40_001] {
            let of_client = Segment::new(client(port), VIP, Flags::ACK);
            assert_bad(&mut object, &with_flags(&of_client, flags));
        }
        assert_bad(&mut object, &with_flags(&opened.answer(Flags::ACK), flags));
    }
    assert_eq!([40_000, 40_001].map(|port| object.progress(&key_of(port))), before);
}

/// Flags without influence on a segment's purpose are harmless: ECN and urgent data.
#[test]
#[ignore = "needs root"]
fn possible_flags_are_not_taken_for_impossible_ones() {
    let mut object = balancer();
    let opening = object.run(&with_flags(&syn(40_000), SYN | 0xc0));
    assert_eq!(opening.reason, Reason::Forwarded);
    connect(&mut object, 40_001);
    let data = Segment::new(client(40_001), VIP, Flags::ACK);
    for flags in [ACK | PSH, ACK | URG, ACK | PSH | URG | 0x40] {
        assert_eq!(object.run(&with_flags(&data, flags)).reason, Reason::Forwarded);
    }
}

#[test]
#[ignore = "needs root"]
fn nothing_but_a_handshake_ends_being_half_open() {
    let ends = [Flags::FIN, Flags::RST, Flags::RST_ACK, Flags::ACK];
    for is_answered in [false, true] {
        for one in ends {
            for other in ends {
                let mut object = balancer();
                let opened = forward(&mut object, &syn(40_000));
                if is_answered {
                    reply(&mut object, &opened.answer(Flags::SYN_ACK));
                }
                for flags in [one, other] {
                    let guessed = Segment::new(client(40_000), VIP, flags);
                    forward(&mut object, &Segment { acknowledgement: 77, ..guessed });
                }
                assert_eq!(states(&object), [State::HalfOpen; 2], "{one:?} {other:?}");
            }
        }
    }
}

/// Segments sent after each SYN of a flood.
const FOLLOWERS: [Option<Flags>; 6] = [
    None,
    Some(Flags::FIN),
    Some(Flags::RST),
    Some(Flags::RST_ACK),
    Some(Flags::ACK),
    Some(Flags::SYN),
];

#[test]
#[ignore = "needs root"]
fn a_flood_of_handshakes_keeps_nobody_out() {
    const FLOOD: u32 = 40_000;
    for follower in FOLLOWERS {
        let mut object = balancer_with(2_000, 300);
        let living = connect(&mut object, 40_000);
        for nth in 0..FLOOD {
            let syn = Segment::new(spoofed(nth), VIP, Flags::SYN);
            let _ = object.run_uncounted(&syn.frame());
            if let Some(flags) = follower {
                let _ = object.run_uncounted(&Segment { flags, acknowledgement: 7, ..syn }.frame());
            }
        }
        let evicted = object.incidents(Incident::EvictedHalfOpen);
        assert!(evicted > u64::from(FLOOD) / 2, "{evicted} were counted, {follower:?}");
        for port in 41_000..41_040 {
            connect(&mut object, port);
        }
        reply(&mut object, &living.answer(Flags::ACK).with_payload(b"more"));
        let established = states(&object).into_iter().filter(|one| *one == State::Established);
        assert_eq!(established.count(), 2 * 41, "{follower:?}");
    }
}

/// A flood of `SYN+FIN` was once the cheapest of all.
#[test]
#[ignore = "needs root"]
fn a_flood_of_impossible_segments_leaves_no_entry() {
    let object = balancer_with(2_000, 300);
    for nth in 0..40_000 {
        let frame = Segment::new(spoofed(nth), VIP, Flags::SYN_FIN).frame();
        assert_eq!(object.run_uncounted(&frame).0, Action::Drop);
    }
    assert!(object.flows().is_empty());
}

/// As many SYNs as there are source ports, less a tenth, arrive in a slow client's round trip.
#[test]
#[ignore = "needs root"]
fn a_handshake_outlasts_as_many_syns_as_there_are_ports() {
    const PORTS: u16 = 300;
    const BACKENDS: u32 = 3;
    let mut object = balancer_with(4_000, PORTS);
    let in_a_round_trip = BACKENDS * u32::from(PORTS) * 9 / 10;
    let mut nth = 0;
    let mut flood = |object: &Object| {
        for _ in 0..in_a_round_trip {
            nth += 1;
            let _ = object.run_uncounted(&Segment::new(spoofed(nth), VIP, Flags::SYN).frame());
        }
    };
    flood(&object);
    flood(&object);
    for port in 40_000..40_020 {
        let opened = forward(&mut object, &syn(port));
        reply(&mut object, &opened.answer(Flags::SYN_ACK));
        flood(&object);
        forward(&mut object, &Segment::new(client(port), VIP, Flags::ACK));
        assert_eq!(object.state(&key_of(port)), Some(State::Answered), "{port}");
        reply(&mut object, &opened.answer(Flags::ACK).with_payload(b"welcome"));
    }
    assert_eq!(object.incidents(Incident::EvictedAnswered), 0);
}

/// The ports of a CPU with few connections are as old as those of the flood on another one.
#[test]
#[ignore = "needs root"]
fn a_handshake_outlasts_a_flood_on_another_cpu() {
    const PORTS: u16 = 8_192;
    let mut object = balancer_with(400_000, PORTS);
    object.serve(VIP, &[1]);
    let mut nth = 0;
    let mut flood = |object: &Object, cpu, syns: u32| {
        let numbers = nth..nth + syns;
        nth = numbers.end;
        on(cpu, || {
            for nth in numbers {
                let _ = object.run_uncounted(&Segment::new(spoofed(nth), VIP, Flags::SYN).frame());
            }
        });
    };
    let (quiet, busy) = (0, cpus() - 1);
    for port in 40_000..40_005 {
        flood(&object, quiet, 100);
        flood(&object, busy, u32::from(PORTS));
        let opened = on(quiet, || forward(&mut object, &syn(port)));
        reply(&mut object, &opened.answer(Flags::SYN_ACK));
        flood(&object, busy, u32::from(PORTS) * 9 / 10);
        forward(&mut object, &Segment::new(client(port), VIP, Flags::ACK));
        assert_eq!(object.state(&key_of(port)), Some(State::Answered), "{port}");
    }
}
