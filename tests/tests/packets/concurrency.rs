//! Several CPUs at once.

use std::{collections::HashSet, thread};

use lb_common::{
    flow::{State, flags_seen},
    stats::Incident,
};
use lb_tests::{
    frame::{Flags, Segment},
    object::Action,
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use crate::testbed::{VIP, backend, balancer_with, client, key_of, syn};

const EACH: u16 = 3_000;

pub fn cpus() -> usize {
    thread::available_parallelism().expect("known").get().min(4)
}

pub fn stay_on(cpu: usize) {
    let mut affinity = CpuSet::new();
    affinity.set(cpu).expect("a CPU");
    sched_setaffinity(Pid::from_raw(0), &affinity).expect("allowed");
}

#[test]
#[ignore = "needs root"]
fn round_robin_is_exact_across_cpus() {
    let object = balancer_with(40_000, 30_000);
    let open = |cpu: usize| {
        stay_on(cpu);
        let first = 10_000 + u16::try_from(cpu).expect("few") * EACH;
        let ports = first..first + EACH;
        ports
            .map(|port| {
                let (action, frame) = object.run_uncounted(&syn(port).frame());
                assert_eq!(action, Action::Tx);
                let sent = Segment::read(&frame);
                (sent.src, sent.dst)
            })
            .collect::<Vec<_>>()
    };
    let opened: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus()).map(|cpu| scope.spawn(move || open(cpu))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    for id in 1..=3 {
        let share = opened.iter().filter(|(_, dst)| *dst == backend(id)).count();
        assert_eq!(share, opened.len() / 3);
    }
    let tuples: HashSet<_> = opened.iter().collect();
    assert_eq!(tuples.len(), opened.len(), "no two connections share a source port");
}

/// One port per backend, so that each new connection takes over the port of a resting one.
#[test]
#[ignore = "needs root"]
fn a_living_connection_keeps_its_port_when_ports_are_fought_for() {
    let object = balancer_with(1_000, 1);
    let fight = |cpu: usize| {
        stay_on(cpu);
        let first = 10_000 + u16::try_from(cpu).expect("few") * EACH;
        for port in (first..first + EACH).cycle().take(100_000) {
            let (action, frame) = object.run_uncounted(&syn(port).frame());
            if action != Action::Tx {
                continue;
            }
            let opened = Segment::read(&frame);
            let (_, frame) = object.run_uncounted(&opened.answer(Flags::SYN_ACK).frame());
            if frame[..6] != lb_tests::frame::CLIENT_MAC {
                continue;
            }
            let next = Segment::new(client(port), VIP, Flags::ACK).frame();
            let (action, frame) = object.run_uncounted(&next);
            let established = Segment::read(&frame);
            if action != Action::Tx || established.flags.rst {
                // Another connection took the port before the handshake ended.
                continue;
            }
            let welcome = opened.answer(Flags::ACK).with_payload(b"welcome").frame();
            let (action, frame) = object.run_uncounted(&welcome);
            if action != Action::Tx || Segment::read(&frame).dst != client(port) {
                // Or before the backend had sent data.
                continue;
            }
            if object.state(&key_of(port)) != Some(State::Established) {
                // Or at the moment when it did.
                continue;
            }
            let (action, frame) = object.run_uncounted(&next);
            assert_eq!(action, Action::Tx);
            let sent = Segment::read(&frame);
            assert_eq!((sent.src, sent.dst), (opened.src, opened.dst));
            let _ = object.run_uncounted(&Segment::new(client(port), VIP, Flags::RST).frame());
        }
    };
    thread::scope(|scope| {
        for cpu in 0..cpus() {
            scope.spawn(move || fight(cpu));
        }
    });
    assert!(object.incidents(Incident::EarlyPortReuse) > 0);
    let flows = object.flows();
    for (key, (_, flow)) in
        flows.iter().filter(|(_, (tag, _))| tag.flags_seen() & flags_seen::QUARANTINED == 0)
    {
        let partner = flows.get(&flow.partner()).expect("a partner").1;
        assert_eq!(partner.partner(), *key);
    }
}
