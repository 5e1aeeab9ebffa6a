//! One service with three backends, and addresses for all hosts.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    thread,
};

use lb_common::{
    flow::{FlowKey, State},
    reason::Reason,
};
use lb_tests::{
    frame::{Flags, Segment},
    object::{Action, INGRESS, Object, Run},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

pub const VIP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 80);
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const FIRST_PORT: u16 = 1_024;
pub const PORTS: u16 = 100;

pub fn client(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), port)
}

pub fn backend(id: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 10 + id), 8080)
}

/// Makes three backends of one service, all on the interface that frames arrive on.
pub fn balancer() -> Object {
    balancer_with(1_000, PORTS)
}

pub fn balancer_with(flow_entries: u32, ports: u16) -> Object {
    configured(Object::load(flow_entries), ports)
}

pub fn configured(mut object: Object, ports: u16) -> Object {
    object.source(0, SOURCE, FIRST_PORT, ports);
    for id in 1..=3 {
        object.backend(id.into(), backend(id), INGRESS, (0, 1));
    }
    object.serve(VIP, &[1, 2, 3]);
    object
}

pub fn syn(port: u16) -> Segment {
    Segment::new(client(port), VIP, Flags::SYN)
}

/// Sends a segment that must be forwarded, and returns the result.
pub fn forward(object: &mut Object, segment: &Segment) -> Segment {
    sent(&object.run(&segment.frame()), Reason::Forwarded)
}

/// Sends a backend's segment that must be forwarded to the client.
pub fn reply(object: &mut Object, segment: &Segment) -> Segment {
    sent(&object.run(&segment.frame()), Reason::Replied)
}

pub fn sent(run: &Run, reason: Reason) -> Segment {
    assert_eq!((run.action, run.reason), (Action::Tx, reason));
    Segment::read(&run.frame)
}

/// Completes a connection's handshake; returns the last segment as the backend got it.
pub fn shake_hands(object: &mut Object, port: u16) -> Segment {
    let opened = forward(object, &syn(port));
    reply(object, &opened.answer(Flags::SYN_ACK));
    forward(object, &Segment::new(client(port), VIP, Flags::ACK))
}

/// As [`shake_hands`], then makes the backend send data.
pub fn connect(object: &mut Object, port: u16) -> Segment {
    let opened = shake_hands(object, port);
    reply(object, &opened.answer(Flags::ACK).with_payload(b"welcome"));
    opened
}

pub fn states(object: &Object) -> Vec<State> {
    object.flows().values().map(|(tag, _)| tag.state()).collect()
}

/// Returns the tuple of a client's packets from this port.
pub fn key_of(port: u16) -> FlowKey {
    key_from(client(port))
}

/// Returns the tuple of this client's packets to the service.
pub fn key_from(client: SocketAddrV4) -> FlowKey {
    FlowKey::tcp(
        client.ip().octets(),
        client.port().to_be_bytes(),
        VIP.ip().octets(),
        VIP.port().to_be_bytes(),
    )
}

/// Returns the number of CPUs that tests use.
pub fn cpus() -> usize {
    thread::available_parallelism().expect("known").get().min(4)
}

/// Runs on one of the CPUs.
pub fn on<T: Send>(cpu: usize, run: impl FnOnce() -> T + Send) -> T {
    let run = || {
        stay_on(cpu);
        run()
    };
    thread::scope(|scope| scope.spawn(run).join().expect("no panic"))
}

/// Keeps this thread on one of the CPUs.
pub fn stay_on(cpu: usize) {
    let mut affinity = CpuSet::new();
    affinity.set(cpu).expect("a CPU");
    sched_setaffinity(Pid::from_raw(0), &affinity).expect("allowed");
}
