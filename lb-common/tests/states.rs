//! Connection states under every order of honest and blind segments.

use lb_common::{
    flow::{
        Direction, Progress, State, WINDOW, after_datagram, after_datagram_one_way, flags_seen,
    },
    tcp::{self, ACK, FIN, RST, SYN, Segment},
};
use proptest::prelude::*;

use Direction::{ToBackend as Client, ToClient as Backend};

const CLIENT: u32 = u32::MAX - 5;
const BACKEND: u32 = 7_000;

/// Makes a segment whose numbers count from the initial ones of its sender and of the other side.
fn segment(
    side: Direction,
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
) -> (Direction, Segment) {
    let (own, other) = match side {
        Client => (CLIENT, BACKEND),
        Backend => (BACKEND, CLIENT),
    };
    let (sequence, acknowledgement) =
        (own.wrapping_add(sequence), other.wrapping_add(acknowledgement));
    (side, Segment { flags, sequence, acknowledgement, payload: 0 })
}

fn data(
    side: Direction,
    sequence: u32,
    acknowledgement: u32,
    payload: u16,
) -> (Direction, Segment) {
    let (side, segment) = segment(side, ACK, sequence, acknowledgement);
    (side, Segment { payload, ..segment })
}

fn opened() -> Progress {
    Progress { seen: 0, number: CLIENT, other: 0 }
}

fn follow(start: Progress, segments: &[(Direction, Segment)]) -> Progress {
    segments.iter().fold(start, |progress, (side, segment)| progress.after(*side, segment))
}

fn state(progress: Progress) -> State {
    State::of(progress.seen)
}

fn answered() -> Progress {
    follow(opened(), &[segment(Backend, SYN | ACK, 0, 1), segment(Client, ACK, 1, 1)])
}

fn established() -> Progress {
    follow(answered(), &[data(Client, 1, 1, 100), segment(Backend, ACK, 1, 101)])
}

#[test]
fn a_connection_goes_through_its_states() {
    let life = [
        (segment(Backend, SYN | ACK, 0, 1), State::HalfOpen),
        (segment(Client, ACK, 1, 1), State::Answered),
        (segment(Backend, ACK, 1, 1), State::Answered),
        (data(Client, 1, 1, 10), State::Answered),
        (segment(Backend, ACK, 1, 11), State::Established),
        (segment(Backend, FIN | ACK, 1, 11), State::Closing),
        (segment(Client, ACK, 11, 2), State::Closing),
        (segment(Client, FIN | ACK, 11, 2), State::Closed),
        (segment(Backend, ACK, 2, 12), State::Closed),
    ];
    let mut progress = opened();
    for (count, ((side, segment), expected)) in (1..).zip(life) {
        progress = progress.after(side, &segment);
        assert_eq!(state(progress), expected, "after {count} segments");
    }
    assert!(flags_seen::is_over(progress.seen));
}

#[test]
fn data_of_the_backend_establishes() {
    assert_eq!(state(follow(answered(), &[data(Backend, 1, 1, 5)])), State::Established);
}

#[test]
fn an_unfinished_handshake_is_half_open_whatever_flags_come() {
    let flags = [FIN, FIN | ACK, RST, RST | ACK, ACK, SYN];
    for start in [opened(), follow(opened(), &[segment(Backend, SYN | ACK, 0, 1)])] {
        for one in flags {
            for other in flags {
                let after =
                    follow(start, &[segment(Client, one, 1, 77), segment(Client, other, 9, 78)]);
                assert_eq!(state(after), State::HalfOpen, "{one:#x} {other:#x}");
                assert!(!flags_seen::is_over(after.seen));
            }
        }
    }
}

proptest! {
    #[test]
    fn nobody_ends_a_handshake_without_the_backends_number(sequence: u32, number: u32, flags: u8) {
        prop_assume!(number != BACKEND.wrapping_add(1));
        let start = follow(opened(), &[segment(Backend, SYN | ACK, 0, 1)]);
        let forged = Segment { flags, sequence, acknowledgement: number, payload: 0 };
        prop_assert_eq!(state(start.after(Client, &forged)), State::HalfOpen);
    }

    #[test]
    fn a_client_that_the_backend_does_not_hear_establishes_nothing(
        sequences: Vec<u32>, payload: u16,
    ) {
        // The right acknowledgement with a wrong checksum, and a second SYN that the backend
        // answers by a bare ACK of the first one.
        let mut progress = follow(opened(), &[segment(Backend, SYN | ACK, 0, 1)]);
        for sequence in sequences {
            let acknowledgement = BACKEND.wrapping_add(1);
            let ack = Segment { flags: ACK, sequence, acknowledgement, payload };
            progress = progress.after(Client, &ack);
            progress = progress.after(Client, &Segment { flags: SYN, ..ack });
            progress = follow(progress, &[segment(Backend, ACK, 1, 1)]);
            prop_assert_eq!(state(progress), State::Answered);
        }
        prop_assert_ne!(state(progress), State::Established);
    }

    #[test]
    fn a_blind_segment_changes_nothing(sequence: u32, acknowledgement: u32, payload: u16) {
        let ends = [sequence, sequence.wrapping_add(u32::from(payload))];
        let number = CLIENT.wrapping_add(101);
        let is_far = |end: &u32| end.wrapping_sub(number).wrapping_add(1) > WINDOW + 1;
        prop_assume!(ends.iter().all(is_far));
        for flags in [RST, RST | ACK, FIN | ACK, SYN] {
            let blind = Segment { flags, sequence, acknowledgement, payload };
            let after = established().after(Client, &blind);
            let answer = segment(Backend, ACK, 1, 101).1;
            prop_assert_eq!(state(after), State::Established);
            prop_assert_eq!(after.after(Backend, &answer), established());
        }
    }

    #[test]
    fn flags_are_possible_or_not(flags: u8) {
        let [syn, fin, rst, ack] = [SYN, FIN, RST, ACK].map(|flag| flags & flag != 0);
        let conflicts = syn && (fin || rst) || fin && rst;
        let says_nothing = !(syn || rst || ack);
        prop_assert_eq!(tcp::is_possible(flags), !conflicts && !says_nothing);
    }
}

/// A backend that still waits for the client's ACK (`TCP_DEFER_ACCEPT`, or an ACK lost behind us)
/// answers a wrong one by a reset of the wrong number, and keeps waiting.
#[test]
fn a_backend_that_answers_a_wrong_ack_has_not_ended_the_connection() {
    let wrong = segment(Backend, RST, 0x7777, 0);
    let after = follow(answered(), &[segment(Client, ACK, 0x999, 0x7777), wrong]);
    assert_eq!(state(after), State::Answered);
    assert!(!flags_seen::is_over(after.seen));
    let data = [data(Client, 1, 1, 100), segment(Backend, ACK, 1, 101)];
    assert_eq!(follow(after, &data), established());
}

/// A killed server has no socket any more, or aborts the connection.
#[test]
fn a_backend_that_has_sent_nothing_resets_by_its_first_number() {
    for flags in [RST, RST | ACK] {
        let after = follow(answered(), &[segment(Backend, flags, 1, 1)]);
        assert_eq!(state(after), State::Closed);
        assert!(flags_seen::is_over(after.seen));
    }
}

/// No data follow an honest FIN: one within the window that is followed by data was forged.
#[test]
fn a_blind_fin_is_taken_back_by_the_clients_data() {
    let blind = follow(established(), &[segment(Client, FIN | ACK, 200, 0)]);
    assert_eq!(state(blind), State::Closing);
    assert!(!flags_seen::are_settled(blind.seen, Client), "the next segment is looked at");
    assert_eq!(follow(blind, &[segment(Client, ACK, 101, 1)]), blind, "says nothing");
    assert_eq!(follow(blind, &[data(Client, 101, 1, 50)]), established());
    let old = follow(blind, &[data(Client, 1, 1, 100)]);
    assert_eq!(state(old), State::Closing, "a copy of what is acknowledged");
}

#[test]
fn a_syn_is_asked_until_the_backend_says_anything() {
    let answers = [
        segment(Backend, ACK, 1, 101),
        segment(Backend, RST, 1, 0),
        segment(Backend, SYN | ACK, 0, 1),
        data(Backend, 1, 101, 9),
        segment(Backend, FIN | ACK, 1, 101),
    ];
    let waits = follow(opened(), &[segment(Backend, SYN | ACK, 0, 1)]);
    for start in [waits, answered(), established()] {
        let asked = follow(start, &[segment(Client, SYN, 0x4444, 0)]);
        assert_ne!(asked.seen & flags_seen::ASKED, 0, "{start:?}");
        for answer in answers {
            assert_eq!(
                follow(asked, &[answer]).seen & flags_seen::ASKED,
                0,
                "{start:?} {answer:?}"
            );
        }
    }
}

#[test]
fn two_refusers_are_told_from_others() {
    let first = flags_seen::refused_by(0, 5);
    assert!(!flags_seen::may_be_first_refuser(first, 5), "the last one is known by its id");
    let second = flags_seen::refused_by(first, 6);
    assert_eq!(flags_seen::refusals(second), 2);
    let named: Vec<u32> =
        (4..8).filter(|id| flags_seen::may_be_first_refuser(second, *id)).collect();
    assert_eq!(named, [5]);
    let third = flags_seen::refused_by(flags_seen::refused_by(second, 7), 4);
    assert_eq!(flags_seen::refusals(third), flags_seen::LAST_REFUSAL);
}

#[test]
fn an_honest_reset_closes_by_its_number() {
    for beyond in [0, 1, 1_000, WINDOW] {
        let after = follow(established(), &[segment(Client, RST, 101 + beyond, 0)]);
        assert_eq!(state(after), State::Closed, "{beyond}");
        assert!(!flags_seen::is_over(after.seen), "a client's word alone");
    }
    let after = follow(established(), &[segment(Client, RST, 101 + WINDOW + 1, 0)]);
    assert_eq!(state(after), State::Established);
}

#[test]
fn a_reset_that_the_backend_did_not_heed_closes_nothing_for_good() {
    let reset = follow(established(), &[segment(Client, RST, 150, 0)]);
    assert_eq!(state(follow(reset, &[segment(Client, ACK, 101, 1)])), State::Closed);
    // A challenge ACK.
    assert_eq!(state(follow(reset, &[segment(Backend, ACK, 1, 101)])), State::Established);
}

/// It is the client's own, so that the client may use its port again at once: kubernetes/kubernetes#81775.
#[test]
fn a_reset_with_the_very_number_frees_the_tuple_unless_the_backend_goes_on() {
    let is_exact = |number| {
        let reset = follow(established(), &[segment(Client, RST, number, 0)]);
        assert!(!flags_seen::is_refused(reset.seen), "by its backend");
        let challenged = follow(reset, &[segment(Backend, ACK, 1, 101)]);
        assert_eq!(challenged, established());
        reset.seen & flags_seen::RESET_EXACTLY != 0
    };
    assert!(is_exact(101));
    assert!(![100, 102, 101 + WINDOW].into_iter().any(is_exact));
    let half_open = follow(opened(), &[segment(Backend, SYN | ACK, 0, 1)]);
    assert_eq!(follow(half_open, &[segment(Client, RST, 1, 0)]), half_open);
}

#[test]
fn a_backends_reset_is_its_own_word() {
    let after = follow(established(), &[segment(Backend, RST, 1, 0)]);
    assert_eq!(state(after), State::Closed);
    assert!(flags_seen::is_over(after.seen));
}

/// RFC 5961, section 4.2: the backend has the tuple in TIME-WAIT.
#[test]
fn a_challenge_ack_in_a_handshake_changes_nothing() {
    let after = follow(opened(), &[segment(Backend, ACK, 9, 9), segment(Client, RST, 9, 0)]);
    assert_eq!(after, opened());
    let again = follow(after, &[segment(Client, SYN, 50, 0), segment(Backend, SYN | ACK, 0, 51)]);
    assert_eq!(state(follow(again, &[segment(Client, ACK, 51, 1)])), State::Answered);
}

#[test]
fn a_tuple_that_the_client_has_reset_begins_anew() {
    let reset = follow(established(), &[segment(Client, RST, 101, 0)]);
    let again =
        follow(reset, &[segment(Client, SYN, 5_000, 0), segment(Backend, SYN | ACK, 90, 5_001)]);
    assert_eq!(state(again), State::HalfOpen);
    let after = follow(again, &[segment(Client, ACK, 5_001, 91)]);
    assert_eq!(state(after), State::Answered);
    assert_eq!(state(follow(after, &[data(Backend, 91, 5_001, 1)])), State::Established);
}

#[test]
fn a_syn_on_a_living_tuple_changes_nothing() {
    let after =
        follow(established(), &[segment(Client, SYN, 9_999, 0), segment(Backend, ACK, 1, 101)]);
    assert_eq!(after, established());
}

#[test]
fn a_retransmitted_syn_ack_asks_for_the_ack_again() {
    let again = follow(answered(), &[segment(Backend, SYN | ACK, 0, 1)]);
    assert_eq!(state(again), State::HalfOpen);
    assert_eq!(state(follow(again, &[segment(Client, ACK, 1, 1)])), State::Answered);
    assert_eq!(
        state(follow(established(), &[segment(Backend, SYN | ACK, 0, 1)])),
        State::Established
    );
}

#[test]
fn fast_open_is_established_by_the_backends_data() {
    let after =
        follow(opened(), &[segment(Backend, SYN | ACK, 0, 101), data(Backend, 1, 101, 500)]);
    assert_eq!(state(after), State::Established);
    assert_eq!(state(follow(after, &[segment(Client, FIN | ACK, 101, 501)])), State::Closing);
}

#[test]
fn a_refusal_is_told_from_other_resets() {
    let refuses = |progress: Progress, (_, segment): (_, Segment)| progress.is_refused_by(&segment);
    assert!(refuses(opened(), segment(Backend, RST | ACK, 0, 1)));
    assert!(refuses(opened(), segment(Backend, RST | ACK, 0, 1 + 1_400)));
    assert!(!refuses(opened(), segment(Backend, RST, 0, 1)));
    assert!(!refuses(opened(), segment(Backend, RST | ACK, 0, 0)));
    assert!(!refuses(opened(), segment(Backend, ACK, 0, 1)));
    let answered = follow(opened(), &[segment(Backend, SYN | ACK, 0, 1)]);
    assert!(!refuses(answered, segment(Backend, RST | ACK, 0, 1)));
}

#[test]
fn a_reset_of_a_wrong_ack_does_not_end_a_handshake() {
    let waiting = follow(opened(), &[segment(Backend, SYN | ACK, 0, 1)]);
    // A backend that waits for the ACK answers a wrong one by a reset of its number, and waits on.
    let after = follow(waiting, &[segment(Client, ACK, 1, 500), segment(Backend, RST, 500, 0)]);
    assert_eq!(after, waiting);
    assert!(flags_seen::is_over(follow(waiting, &[segment(Backend, RST, 1, 0)]).seen));
}

#[test]
fn a_fin_counts_where_its_data_ends() {
    let (side, fin) = segment(Client, FIN | ACK, 101, 1);
    let after = established().after(side, &Segment { payload: 1_000, ..fin });
    assert_eq!(state(after), State::Closing);
    let far = segment(Client, FIN | ACK, 101 + 2 * WINDOW, 1);
    assert_eq!(state(follow(established(), &[far])), State::Established);
    // A FIN that is retransmitted after the backend has acknowledged it.
    let both = follow(
        after,
        &[segment(Backend, FIN | ACK, 1, 1_102), segment(Client, FIN | ACK, 1_101, 2)],
    );
    assert_eq!(state(both), State::Closed);
}

fn one_way(segments: &[(Direction, Segment)]) -> Progress {
    let start = Progress { seen: flags_seen::UNSEEN, number: CLIENT, other: 0 };
    segments.iter().fold(start, |progress, (_, segment)| progress.after_one_way(segment))
}

#[test]
fn a_flow_of_one_direction_is_answered_by_what_only_its_client_knows() {
    assert_eq!(state(one_way(&[])), State::HalfOpen);
    let ack = segment(Client, ACK, 1, 1);
    assert_eq!(state(one_way(&[ack])), State::Answered);
    let blind = data(Client, WINDOW + 10, 1, 10);
    assert_eq!(state(one_way(&[blind])), State::HalfOpen);
    let far = segment(Client, FIN | ACK, WINDOW + 1_000, 1);
    assert_eq!(state(one_way(&[ack, far])), State::Answered);
    let reset = segment(Client, RST, WINDOW + 1_000, 0);
    assert_eq!(state(one_way(&[ack, reset])), State::Answered);
    // The client sends on, so that its numbers pass those of its first window.
    let mut sent = vec![ack];
    sent.extend((0..40).map(|nth| data(Client, 1 + nth * 60_000, 1, 60_000)));
    sent.push(segment(Client, FIN | ACK, 1 + 40 * 60_000, 1));
    let closing = one_way(&sent);
    assert_eq!(state(closing), State::Closing);
    assert!(flags_seen::is_over_one_way(closing.seen) && !flags_seen::is_over(closing.seen));
    let ended = one_way(&[ack, segment(Client, RST, 1, 0)]);
    assert_eq!(state(ended), State::Closed);
}

#[test]
fn a_retransmitted_syn_begins_a_flow_of_one_direction_with_its_own_number() {
    let again = segment(Client, SYN, 5_000_000, 0);
    let ack = segment(Client, ACK, 5_000_001, 1);
    assert_eq!(state(one_way(&[again, ack])), State::Answered);
    // Afterwards anybody may send one.
    let before = one_way(&[segment(Client, ACK, 1, 1)]);
    assert_eq!(before.after_one_way(&again.1), before);
}

#[test]
fn datagrams_are_assured_by_a_question_after_an_answer() {
    let follow = |sides: &[Direction]| {
        sides.iter().fold(0, |seen, direction| after_datagram(seen, *direction))
    };
    for new in
        [&[][..], &[Client], &[Client, Client], &[Client, Backend], &[Client, Backend, Backend]]
    {
        assert_eq!(State::of(follow(new)), State::HalfOpen, "{new:?}");
    }
    assert_eq!(State::of(follow(&[Client, Backend, Client])), State::Established);
    let one_way = after_datagram_one_way(flags_seen::UNSEEN);
    assert_eq!(State::of(one_way), State::Answered);
}
