//! Backends' packets of forgotten connections: the host guard keeps them from the host's stack,
//! which would reset them.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::reason::Reason;
use lb_tests::{
    frame::{Flags, Segment},
    object::{Action, INGRESS, Object},
};

use super::testbed::{FIRST_PORT, PORTS, SOURCE, backend, balancer};

const LAST_PORT: u16 = FIRST_PORT + PORTS - 1;

fn guarded() -> Object {
    let mut object = balancer();
    object.guard(SOURCE, (FIRST_PORT, LAST_PORT), backend(1));
    object.origin(*backend(1).ip(), INGRESS);
    object
}

fn of_backend(to: u16, flags: Flags) -> Segment {
    Segment::new(backend(1), SocketAddrV4::new(SOURCE, to), flags).with_payload(b"late")
}

fn assert_is_the_hosts(object: &mut Object, segment: &Segment) {
    let run = object.run(&segment.frame());
    assert_eq!((run.action, run.reason), (Action::Pass, Reason::NotOurs), "{segment:?}");
}

#[test]
#[ignore = "needs root"]
fn a_backend_is_told_that_its_connection_is_forgotten() {
    let mut object = guarded();
    for flags in [Flags::ACK, Flags::FIN] {
        let late = of_backend(FIRST_PORT, flags);
        let run = object.run(&late.frame());
        assert_eq!((run.action, run.reason), (Action::Tx, Reason::ResetUnknownFlow));
        let reset = Segment::read(&run.frame);
        assert!(reset.flags == Flags::RST && reset.sequence == late.acknowledgement, "{reset:?}");
        assert_eq!((reset.src, reset.dst), (late.dst, late.src));
    }
}

#[test]
#[ignore = "needs root"]
fn what_is_no_balanced_connection_is_the_hosts() {
    let mut object = guarded();
    assert_is_the_hosts(&mut object, &of_backend(FIRST_PORT, Flags::RST));
    for port in [FIRST_PORT - 1, LAST_PORT + 1] {
        assert_is_the_hosts(&mut object, &of_backend(port, Flags::ACK));
    }
    let elsewhere = [
        SocketAddrV4::new(*backend(1).ip(), 9),
        SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 99), backend(1).port()),
    ];
    for src in elsewhere {
        let segment = Segment { src, ..of_backend(FIRST_PORT, Flags::ACK) };
        assert_is_the_hosts(&mut object, &segment);
    }
}

/// A frame with the backend's address from an impossible interface may be anybody's.
#[test]
#[ignore = "needs root"]
fn what_only_says_that_it_is_a_backends_is_not_answered() {
    let mut object = guarded();
    object.origin(*backend(1).ip(), INGRESS + 1);
    assert_is_the_hosts(&mut object, &of_backend(FIRST_PORT, Flags::ACK));
}
