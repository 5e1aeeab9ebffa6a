//! Several CPUs at once.

use std::{collections::HashSet, net::SocketAddrV4, thread};

use crate::testbed::{VIP, backend, balancer_with, client, cpus, key_of, on, stay_on, syn};
use lb_common::{
    flow::{State, flags_seen},
    schedule::Scheduler,
    stats::Incident,
};
use lb_tests::{
    frame::{Flags, Segment},
    object::{Action, Object},
};

const EACH: u16 = 3_000;

/// Source and backend of a connection.
type Outside = (SocketAddrV4, SocketAddrV4);

/// Opens as many connections on each CPU, all at once. Returns those of each CPU, in order.
fn open_on_all(object: &Object) -> Vec<Vec<Outside>> {
    let open = |cpu: usize| {
        stay_on(cpu);
        let first = 10_000 + u16::try_from(cpu).expect("few") * EACH;
        (first..first + EACH).map(|port| open_one(object, port)).collect()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus()).map(|cpu| scope.spawn(move || open(cpu))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn open_one(object: &Object, port: u16) -> Outside {
    let (action, frame) = object.run_uncounted(&syn(port).frame());
    assert_eq!(action, Action::Tx);
    let sent = Segment::read(&frame);
    (sent.src, sent.dst)
}

fn share(opened: &[Vec<Outside>], id: u8) -> usize {
    opened.iter().flatten().filter(|(_, dst)| *dst == backend(id)).count()
}

fn assert_no_port_is_shared(opened: &[Vec<Outside>]) {
    let all = || opened.iter().flatten();
    assert_eq!(all().collect::<HashSet<_>>().len(), all().count());
}

#[test]
#[ignore = "needs root"]
fn round_robin_is_exact_across_cpus() {
    let opened = open_on_all(&balancer_with(400_000, 30_000));
    for id in 1..=3 {
        assert_eq!(share(&opened, id), opened.len() * usize::from(EACH) / 3);
    }
    assert_no_port_is_shared(&opened);
}

#[test]
#[ignore = "needs root"]
fn turns_of_each_cpu_go_round_and_differ_by_one_for_each_cpu() {
    let mut object = balancer_with(400_000, 30_000);
    object.schedule(VIP, Scheduler::RoundRobinPerCpu, &[1, 2, 3]);
    on(0, || open_one(&object, 9_000));
    let opened = open_on_all(&object);
    for of_cpu in &opened {
        let is_next = |pair: &[Outside]| pair[0].1 != pair[1].1;
        let is_the_same = |group: &[Outside]| group[0].1 == group[3].1;
        assert!(of_cpu.windows(2).all(is_next) && of_cpu.windows(4).all(is_the_same));
    }
    let all = 1 + opened.len() * usize::from(EACH);
    for id in 1..=3 {
        let strict = all / 3;
        assert!(share(&opened, id).abs_diff(strict) <= cpus(), "{id}");
    }
    assert_no_port_is_shared(&opened);
}

#[test]
#[ignore = "needs root"]
fn cpus_in_step_take_turns_of_different_backends() {
    let mut object = balancer_with(1_000, 1_000);
    object.schedule(VIP, Scheduler::RoundRobinPerCpu, &[1, 2, 3]);
    for step in 0..6 {
        let of_cpu = |cpu: usize| {
            let port = 10_000 + step * 10 + u16::try_from(cpu).expect("few");
            on(cpu, || open_one(&object, port)).1
        };
        let backends: HashSet<_> = (0..cpus()).map(of_cpu).collect();
        assert_eq!(backends.len(), cpus().min(3));
    }
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
