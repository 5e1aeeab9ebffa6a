//! The object compared with the pure function for a segment's effect on a connection.

use lb_common::{
    flow::{Direction, Progress, State, WINDOW, flags_seen},
    reason::Reason,
    tcp::{self, Segment as Numbers},
};
use lb_tests::{
    frame::{BACKEND_ISN, CLIENT_ISN, Flags, Segment},
    object::{Action, Object},
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use super::{
    lasting,
    testbed::{VIP, balancer, client, connect, forward, key_of, reply, syn},
};

const PORT: u16 = 40_000;

/// A segment of either side, with numbers relative to the initial ones.
#[derive(Clone, Debug)]
struct Step {
    side: Direction,
    flags: Flags,
    sequence: u32,
    acknowledgement: u32,
    payload: u16,
}

fn flags() -> impl Strategy<Value = Flags> {
    select(vec![
        Flags::SYN,
        Flags::SYN_ACK,
        Flags::ACK,
        Flags::ACK,
        Flags::ACK,
        Flags::FIN,
        Flags::RST,
        Flags::RST_ACK,
        Flags::SYN_FIN,
        Flags::NONE,
    ])
}

/// Returns numbers at the edges, and arbitrary ones.
fn number() -> impl Strategy<Value = u32> {
    let edges = [0, 1, 1, 1, 2, 10, 11, WINDOW, WINDOW + 1, WINDOW + 2, 1 << 31, u32::MAX];
    prop_oneof![9 => select(edges.to_vec()), 1 => any::<u32>()]
}

fn step() -> impl Strategy<Value = Step> {
    let side = select(vec![Direction::ToBackend, Direction::ToClient]);
    let payload = select(vec![0_u16, 0, 1, 9]);
    (side, flags(), number(), number(), payload).prop_map(
        |(side, flags, sequence, acknowledgement, payload)| Step {
            side,
            flags,
            sequence,
            acknowledgement,
            payload,
        },
    )
}

impl Step {
    fn segment(&self, opened: &Segment) -> Segment {
        let Self { side, flags, sequence, acknowledgement, payload } = *self;
        let (segment, own, other) = match side {
            Direction::ToBackend => {
                (Segment::new(client(PORT), VIP, flags), CLIENT_ISN, BACKEND_ISN)
            }
            Direction::ToClient => (opened.answer(flags), BACKEND_ISN, CLIENT_ISN),
        };
        let (sequence, acknowledgement) =
            (own.wrapping_add(sequence), other.wrapping_add(acknowledgement));
        Segment { sequence, acknowledgement, ..segment }.with_payload(&vec![7; payload.into()])
    }
}

fn numbers(segment: &Segment) -> Numbers {
    let Flags { syn, ack, fin, rst } = segment.flags;
    let bits = [(fin, tcp::FIN), (syn, tcp::SYN), (rst, tcp::RST), (ack, tcp::ACK)];
    Numbers {
        flags: bits.into_iter().filter(|bit| bit.0).map(|bit| bit.1).sum(),
        sequence: segment.sequence,
        acknowledgement: segment.acknowledgement,
        payload: u16::try_from(segment.payload.len()).expect("short"),
    }
}

/// Returns a connection after one segment, and the segment's reason, by the pure function.
fn expected(progress: Progress, side: Direction, segment: &Numbers) -> (Progress, Reason) {
    if !tcp::is_possible(segment.flags) {
        return (progress, Reason::BadFlags);
    }
    match side {
        Direction::ToBackend => (progress.after(side, segment), Reason::Forwarded),
        Direction::ToClient if progress.is_refused_by(segment) => {
            (Progress { seen: progress.seen | flags_seen::REFUSED, ..progress }, Reason::Refused)
        }
        Direction::ToClient => (progress.after(side, segment), Reason::Replied),
    }
}

fn follows_the_pure_function(object: &mut Object, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut opened = forward(object, &syn(PORT));
    let mut progress = Progress { seen: 0, number: CLIENT_ISN, other: 0 };
    for step in steps {
        let segment = step.segment(&opened);
        let former = object.flow(&key_of(PORT)).expect("known");
        let run = object.run(&segment.frame());
        let is_new = matches!(step.side, Direction::ToBackend)
            && segment.flags == Flags::SYN
            && (flags_seen::is_over(progress.seen) || progress.seen & flags_seen::REFUSED != 0);
        if is_new {
            prop_assert_eq!(run.reason, Reason::Forwarded);
            opened = Segment::read(&run.frame);
            let seen = match progress.seen & flags_seen::REFUSED {
                0 => 0,
                _ => flags_seen::refused_by(progress.seen, former.flow.pair.backend()),
            };
            progress = Progress { seen, number: segment.sequence, other: 0 };
        } else {
            let numbers = numbers(&segment);
            let is_last = flags_seen::refusals(progress.seen) + 1 == flags_seen::LAST_REFUSAL;
            let (mut after, mut reason) = expected(progress, step.side, &numbers);
            if reason == Reason::Refused && is_last {
                (after, reason) = (progress.after(step.side, &numbers), Reason::Replied);
            }
            prop_assert_eq!(run.reason, reason);
            progress = after;
        }
        let found = object.progress(&key_of(PORT));
        prop_assert_eq!(found, Some((progress.seen, progress.number)), "after {:?}", step);
    }
    Ok(())
}

/// Removes the connections of one case, so that the next starts without any.
fn forget(object: &mut Object) {
    for key in object.flows().into_keys().collect::<Vec<_>>() {
        if object.flow(&key).is_some() {
            object.remove_flow(&key);
        }
    }
    for id in 1..=3 {
        object.forgive(id);
    }
}

#[test]
#[ignore = "needs root"]
fn the_object_runs_the_pure_function() {
    let mut object = balancer();
    let mut runner =
        TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let object = std::cell::RefCell::new(&mut object);
    runner
        .run(&vec(step(), 1..16), |steps| {
            let mut object = object.borrow_mut();
            forget(&mut object);
            follows_the_pure_function(&mut object, &steps)
        })
        .expect("they agree");
}

/// Returns a segment of a sender who knows the tuple, but no number, and does not see the answers.
fn blind() -> impl Strategy<Value = Step> {
    let far = (2 * WINDOW)..(u32::MAX - 2 * WINDOW);
    (flags(), far.clone(), far, select(vec![0_u16, 1, 9])).prop_map(
        |(flags, sequence, acknowledgement, payload)| Step {
            side: Direction::ToBackend,
            flags,
            sequence,
            acknowledgement,
            payload,
        },
    )
}

/// Fails if a blind sender's segments, on the open connection or on another tuple, change it.
fn is_powerless(object: &mut Object, steps: &[(Step, bool)]) -> Result<(), TestCaseError> {
    let opened = connect(object, PORT);
    let before = lasting(object, PORT);
    for (step, is_known) in steps {
        let segment = step.segment(&opened);
        let src = client(if *is_known { PORT } else { PORT + 1 });
        let run = object.run(&Segment { src, ..segment }.frame());
        if run.action == Action::Tx && !*is_known && run.reason == Reason::Forwarded {
            // The backend answers its packet, which the blind sender does not see.
            let other = Segment::read(&run.frame);
            if other.flags == Flags::SYN {
                let answer = other.answer(Flags::SYN_ACK);
                let acknowledgement = other.sequence.wrapping_add(1);
                reply(object, &Segment { acknowledgement, ..answer });
            }
        }
        prop_assert_eq!(lasting(object, PORT), before, "after {:?}", step);
        let other = object.state(&key_of(PORT + 1));
        prop_assert!(matches!(other, None | Some(State::HalfOpen)), "{:?} after {:?}", other, step);
    }
    let answer = reply(object, &opened.answer(Flags::ACK).with_payload(b"more"));
    prop_assert_eq!(answer.dst, client(PORT));
    Ok(())
}

#[test]
#[ignore = "needs root"]
fn a_blind_sender_has_no_power() {
    let mut object = balancer();
    let mut runner =
        TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let object = std::cell::RefCell::new(&mut object);
    runner
        .run(&vec((blind(), any::<bool>()), 1..16), |steps| {
            let mut object = object.borrow_mut();
            forget(&mut object);
            is_powerless(&mut object, &steps)
        })
        .expect("nothing changes");
}
