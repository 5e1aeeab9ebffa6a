//! Egress interfaces.

use std::process::Command;

use lb_common::reason::Reason;
use lb_tests::{
    frame::Flags,
    object::{Action, INGRESS, Object},
};
use nix::net::if_::if_nametoindex;

use crate::testbed::{FIRST_PORT, SOURCE, VIP, backend, syn};

/// Makes a balancer whose backend is behind another interface than the client.
fn two_arm() -> (Object, u32) {
    let mut object = Object::load(100);
    let added = Command::new("ip").args(["link", "add", "out0", "type", "veth"]).status();
    assert!(added.expect("iproute2 is installed").success());
    let out = if_nametoindex("out0").expect("just made");
    object.source(0, SOURCE, FIRST_PORT, 100);
    object.backend(1, backend(1), out, (0, 1));
    object.serve(VIP, &[1]);
    (object, out)
}

#[test]
#[ignore = "needs root"]
fn a_backend_behind_another_interface_is_redirected_to() {
    let (mut object, out) = two_arm();
    object.open_egress(out);
    let run = object.run(&syn(40_000).frame());
    assert_eq!((run.action, run.reason), (Action::Redirect, Reason::Forwarded));
    let opened = lb_tests::frame::Segment::read(&run.frame);
    // Frames of a test run all arrive on the same interface, which is not the backend's.
    let back = object.run(&opened.answer(Flags::SYN_ACK).frame());
    assert_eq!((back.action, back.reason), (Action::Drop, Reason::WrongInterface));
    assert_ne!(out, INGRESS);
}

#[test]
#[ignore = "needs root"]
fn an_interface_that_is_not_ours_gets_nothing() {
    let (mut object, _) = two_arm();
    let run = object.run(&syn(40_000).frame());
    assert_eq!((run.action, run.reason), (Action::Drop, Reason::NoEgress));
}
