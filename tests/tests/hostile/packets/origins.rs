//! Frames must have a possible origin, and be addressed to us.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::{origin::NOWHERE, reason::Reason};
use lb_tests::{
    frame::{Flags, Segment},
    object::{Action, INGRESS, Object},
};

use super::testbed::{
    PORTS, SOURCE, VIP, backend, balancer, client, configured, connect, forward, key_of, reply, syn,
};

const OTHER_HOST: [u8; 6] = [2, 0, 0, 0, 0, 0x55];
const BROADCAST: [u8; 6] = [0xff; 6];
const MULTICAST: [u8; 6] = [1, 0, 0x5e, 0, 0, 18];

fn assert_becomes(object: &mut Object, segment: &Segment, action: Action, reason: Reason) {
    let frame = segment.frame();
    let run = object.run(&frame);
    assert_eq!((run.action, run.reason), (action, reason), "{segment:?}");
    assert_eq!(run.frame, frame, "nothing is rewritten");
}

/// A standby sees such frames of the active balancer's clients: it must not reset them.
#[test]
#[ignore = "needs root"]
fn another_hosts_frames_are_not_answered() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let before = object.progress(&key_of(40_000));
    for port in [40_000, 40_001] {
        for flags in [Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST, Flags::NONE] {
            let segment = Segment::new(client(port), VIP, flags);
            let flooded = Segment { dst_mac: OTHER_HOST, ..segment };
            assert_becomes(&mut object, &flooded, Action::Pass, Reason::OtherMac);
        }
    }
    let flooded = Segment { dst_mac: OTHER_HOST, ..opened.answer(Flags::ACK) };
    assert_becomes(&mut object, &flooded, Action::Pass, Reason::OtherMac);
    assert_eq!(object.progress(&key_of(40_000)), before);
    assert_eq!(object.flows().len(), 2);
    assert!(object.events().is_empty());
}

#[test]
#[ignore = "needs root"]
fn frames_to_a_service_are_for_us_alone() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    for dst_mac in [BROADCAST, MULTICAST] {
        for port in [40_000, 40_001] {
            for flags in [Flags::SYN, Flags::ACK, Flags::RST] {
                let segment = Segment { dst_mac, ..Segment::new(client(port), VIP, flags) };
                assert_becomes(&mut object, &segment, Action::Drop, Reason::GroupMac);
            }
        }
        let answer = Segment { dst_mac, ..opened.answer(Flags::ACK) };
        assert_becomes(&mut object, &answer, Action::Drop, Reason::GroupMac);
    }
    assert_eq!(object.flows().len(), 2);
}

#[test]
#[ignore = "needs root"]
fn a_virtual_routers_mac_is_one_of_ours() {
    let mut object = balancer();
    for router in [1, 7, 255] {
        let dst_mac = [0, 0, 0x5e, 0, 1, router];
        let port = 40_000 + u16::from(router);
        let syn = Segment { dst_mac, ..syn(port) };
        assert_becomes(&mut object, &syn, Action::Pass, Reason::OtherMac);
        object.own_mac(dst_mac);
        let opened = forward(&mut object, &syn);
        // Replies leave from the address that the client knows.
        assert_eq!(reply(&mut object, &opened.answer(Flags::SYN_ACK)).src_mac, dst_mac);
    }
}

#[test]
#[ignore = "needs root"]
fn nobody_has_these_addresses() {
    let mut object = balancer();
    object.origin(*VIP.ip(), NOWHERE);
    object.origin(SOURCE, NOWHERE);
    let own = Ipv4Addr::new(203, 0, 113, 2);
    object.origin(own, NOWHERE);
    let elsewhere = INGRESS + 1;
    object.origin(*backend(1).ip(), elsewhere);
    let martians = [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(0, 1, 2, 3),
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(127, 255, 255, 254),
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(239, 255, 255, 255),
        Ipv4Addr::new(240, 0, 0, 1),
        Ipv4Addr::new(255, 255, 255, 254),
        Ipv4Addr::BROADCAST,
        *VIP.ip(),
        SOURCE,
        own,
        *backend(1).ip(),
    ];
    for address in martians {
        for (port, flags) in [(40_000, Flags::SYN), (VIP.port(), Flags::SYN), (7, Flags::ACK)] {
            let segment = Segment::new(SocketAddrV4::new(address, port), VIP, flags);
            assert_becomes(&mut object, &segment, Action::Drop, Reason::MartianSource);
        }
    }
    assert!(object.flows().is_empty());
}

/// A backend may also be a client of a service, by its own interface.
#[test]
#[ignore = "needs root"]
fn a_backend_may_be_a_client_where_it_is() {
    let mut object = balancer();
    object.origin(*backend(1).ip(), INGRESS);
    forward(&mut object, &Segment::new(backend(1), VIP, Flags::SYN));
}

/// An address that became ours, or a backend's, after its connection was opened.
#[test]
#[ignore = "needs root"]
fn a_syn_on_a_known_tuple_is_looked_at_too() {
    let mut object = balancer();
    connect(&mut object, 40_000);
    object.origin(*client(1).ip(), NOWHERE);
    assert_becomes(&mut object, &syn(40_000), Action::Drop, Reason::MartianSource);
}

#[test]
#[ignore = "needs root"]
fn a_backend_speaks_by_its_own_interface() {
    let mut object = configured(Object::load(1_000), PORTS);
    // The backend is behind another interface than the one that frames come in by.
    let elsewhere = INGRESS + 1;
    let opened = connect(&mut object, 40_000);
    let before = object.progress(&key_of(40_000));
    object.backend(1, backend(1), elsewhere, (0, 1));
    for flags in [Flags::ACK, Flags::RST, Flags::FIN, Flags::SYN_ACK] {
        let forged = opened.answer(flags);
        assert_becomes(&mut object, &forged, Action::Drop, Reason::WrongInterface);
    }
    assert_eq!(object.progress(&key_of(40_000)), before);
}
