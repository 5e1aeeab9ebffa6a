//! Replies go to the sender of the handshake's ACK, whoever else sends in the client's name.

use lb_common::{
    backend::Hop,
    event::{ClientHop, Event, Kind},
    stats::Incident,
};
use lb_tests::{
    frame::{BACKEND_MAC, BALANCER_MAC, CLIENT_MAC, Flags, Segment},
    object::{INGRESS, Object},
};

use super::{
    crafted::with_wrong_checksum,
    testbed::{VIP, balancer, client, connect, forward, key_of, reply, syn},
};

const THIEF: [u8; 6] = [2, 0, 0, 0, 0, 0x66];

fn moved(object: &mut Object) -> Vec<Event> {
    let mut events = object.events();
    events.retain(|event| event.kind == Kind::ClientMoved as u32);
    events
}

#[test]
#[ignore = "needs root"]
fn a_frame_from_elsewhere_redirects_nothing() {
    for (src_mac, flags) in [THIEF, BACKEND_MAC]
        .into_iter()
        .flat_map(|mac| [Flags::ACK, Flags::FIN, Flags::RST, Flags::SYN].map(|flags| (mac, flags)))
    {
        let mut object = balancer();
        let opened = connect(&mut object, 40_000);
        let before = object.progress(&key_of(40_000));
        let ack = Segment::new(client(40_000), VIP, flags);
        let forged = Segment { src_mac, sequence: 0x7777_7777, acknowledgement: 3, ..ack };
        object.run(&with_wrong_checksum(&forged));
        let answer = reply(&mut object, &opened.answer(Flags::ACK).with_payload(b"secret"));
        assert_eq!(answer.dst_mac, CLIENT_MAC, "{flags:?}");
        assert_eq!(object.progress(&key_of(40_000)), before, "{flags:?}");
        assert_eq!(moved(&mut object).len(), 1, "{flags:?}");
        assert_eq!(object.incidents(Incident::ClientMoved), 1);
    }
}

#[test]
#[ignore = "needs root"]
fn a_forged_syn_takes_no_handshake_over() {
    let mut object = balancer();
    let opened = forward(&mut object, &syn(40_000));
    forward(&mut object, &Segment { src_mac: THIEF, ..syn(40_000) });
    let answer = reply(&mut object, &opened.answer(Flags::SYN_ACK));
    assert_eq!(answer.dst_mac, CLIENT_MAC);
    let wrong = Segment::new(client(40_000), VIP, Flags::ACK);
    forward(&mut object, &Segment { src_mac: THIEF, acknowledgement: 9, ..wrong });
    let answer = reply(&mut object, &opened.answer(Flags::SYN_ACK));
    assert_eq!(answer.dst_mac, CLIENT_MAC);
}

#[test]
#[ignore = "needs root"]
fn the_daemon_has_the_last_word() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let request = Segment::new(client(40_000), VIP, Flags::ACK);
    forward(&mut object, &Segment { src_mac: THIEF, ..request });
    let events = moved(&mut object);
    let [Event { tag, index, hop, .. }] = events[..] else { panic!("one, not {events:?}") };
    assert_eq!(hop, Hop::new(THIEF, BALANCER_MAC, INGRESS));
    assert_eq!(reply(&mut object, &opened.answer(Flags::ACK)).dst_mac, CLIENT_MAC);
    assert!(object.write_hops(&[ClientHop { tag, index, hop, reserved: 0 }]));
    assert_eq!(reply(&mut object, &opened.answer(Flags::ACK)).dst_mac, THIEF);
}

/// The tag distinguishes successive connections in one index.
#[test]
#[ignore = "needs root"]
fn a_late_word_moves_no_other_connection() {
    let mut object = balancer();
    let old = connect(&mut object, 40_000);
    let request = Segment::new(client(40_000), VIP, Flags::ACK);
    forward(&mut object, &Segment { src_mac: THIEF, ..request });
    let events = moved(&mut object);
    let [Event { tag, index, hop, .. }] = events[..] else { panic!("one, not {events:?}") };
    reply(&mut object, &old.answer(Flags::RST));
    let new = connect(&mut object, 40_000);
    assert_ne!((new.src, new.dst), (old.src, old.dst));
    assert!(object.write_hops(&[ClientHop { tag, index, hop, reserved: 0 }]));
    assert_eq!(reply(&mut object, &new.answer(Flags::ACK)).dst_mac, CLIENT_MAC);
}

#[test]
#[ignore = "needs root"]
fn a_flood_of_strange_frames_does_not_flood_the_daemon() {
    let mut object = balancer();
    connect(&mut object, 40_000);
    let request = Segment::new(client(40_000), VIP, Flags::ACK);
    for nth in 0..2_000_u16 {
        let [high, low] = nth.to_be_bytes();
        let src_mac = [2, 0, 0, 1, high, low];
        let _ = object.run_uncounted(&Segment { src_mac, ..request.clone() }.frame());
    }
    let told = moved(&mut object).len();
    assert!((1..2_000).contains(&told), "{told} events");
    assert_eq!(object.incidents(Incident::ClientMoved), 2_000);
}
