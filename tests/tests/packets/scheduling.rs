//! Selection of a new connection's backend, by the service's scheduler.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
};

use lb_common::{reason::Reason, schedule::Scheduler};
use lb_dataplane::{Search, now};
use lb_model::Timeouts;
use lb_tests::{
    frame::{Flags, Segment},
    object::Object,
};

use crate::testbed::{
    VIP, backend, balancer_with, client, connect, cpus, forward, on, reply, sent, syn,
};

const PORTS: u16 = 60_000;

/// Number of connections by backend address.
type Shares = BTreeMap<SocketAddrV4, u32>;

fn scheduled(scheduler: Scheduler, ring: &[u32]) -> Object {
    let mut object = balancer_with(10_000, PORTS);
    object.schedule(VIP, scheduler, ring);
    object
}

/// Opens a connection, and returns its backend.
fn open(object: &mut Object, address: [u8; 4], port: u16) -> SocketAddrV4 {
    let client = SocketAddrV4::new(Ipv4Addr::from(address), port);
    let run = object.run(&Segment::new(client, VIP, Flags::SYN).frame());
    sent(&run, Reason::Forwarded).dst
}

/// Returns the distribution of this many connections of one client.
fn shares(object: &mut Object, connections: u16) -> Shares {
    shares_from(object, 10_000, connections)
}

/// As [`shares`], from this port of the client's on.
fn shares_from(object: &mut Object, first: u16, connections: u16) -> Shares {
    let mut shares = Shares::new();
    for port in 0..connections {
        *shares.entry(forward(object, &syn(first + port)).dst).or_default() += 1;
    }
    shares
}

/// The most services of the object's own limit, each with one backend.
#[test]
#[ignore = "needs root"]
fn each_of_thousands_of_services_is_found_and_no_other() {
    const FIRST: u16 = 10_000;
    const SERVICES: u16 = 4_096;
    let mut object = balancer_with(10_000, PORTS);
    let ring = object.lay(0, &[1]);
    let vip = |number| SocketAddrV4::new(*VIP.ip(), FIRST + number);
    for number in 0..SERVICES {
        object.service(number.into(), vip(number), ring);
    }
    let client = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 77), 50_000);
    for number in 0..SERVICES {
        object.move_backend(1, vip(number));
        let run = object.run(&Segment::new(client, vip(number), Flags::SYN).frame());
        assert_eq!(sent(&run, Reason::Forwarded).dst, backend(1));
    }
    for number in SERVICES..2 * SERVICES {
        let run = object.run(&Segment::new(client, vip(number), Flags::SYN).frame());
        assert_eq!(run.reason, Reason::NotOurs);
    }
}

/// The slots of one service's ring become another's while the former is still there.
#[test]
#[ignore = "needs root"]
fn a_backend_of_another_vip_gets_no_connection() {
    let mut object = balancer_with(100, PORTS);
    let other = SocketAddrV4::new(*VIP.ip(), VIP.port() + 1);
    object.move_backend(1, other);
    object.serve(VIP, &[2]);
    let ring = object.lay(0, &[1]);
    let client = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 77), 50_000);
    let syn = Segment::new(client, VIP, Flags::SYN).frame();
    assert_eq!(object.run(&syn).reason, Reason::Unreachable);
    object.service(1, other, ring);
    let syn = Segment::new(client, other, Flags::SYN).frame();
    assert_eq!(object.run(&syn).reason, Reason::Forwarded);
}

#[test]
#[ignore = "needs root"]
fn chance_gives_each_slot_its_share() {
    let shares = shares(&mut scheduled(Scheduler::Random, &[1, 2, 3, 3]), 4_000);
    for (id, expected) in [(1, 1_000), (2, 1_000), (3, 2_000)] {
        let share = shares[&backend(id)];
        // Six standard deviations.
        assert!(share.abs_diff(expected) < 200, "{shares:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_clients_address_stays_with_one_backend() {
    let mut object = scheduled(Scheduler::SourceHash, &[1, 2, 3]);
    let mut shares = Shares::new();
    for host in 0..=255 {
        let address = [198, 51, 100, host];
        let chosen = open(&mut object, address, 40_000);
        for port in [1_024, 40_001, 65_535] {
            assert_eq!(open(&mut object, address, port), chosen);
        }
        *shares.entry(chosen).or_default() += 1;
    }
    assert!(shares.len() == 3 && shares.values().all(|share| *share > 50), "{shares:?}");
}

#[test]
#[ignore = "needs root"]
fn two_balancers_send_a_tuple_to_the_same_backend() {
    let mut balancers = [(); 2].map(|()| scheduled(Scheduler::Maglev, &[1, 2, 3]));
    let mut shares = Shares::new();
    for port in 0..1_000 {
        let [one, other] =
            balancers.each_mut().map(|object| open(object, [198, 51, 100, 7], 10_000 + port));
        assert_eq!(one, other);
        *shares.entry(one).or_default() += 1;
    }
    assert!(shares.values().all(|share| share.abs_diff(333) < 100), "{shares:?}");
}

#[test]
#[ignore = "needs root"]
fn the_least_busy_backend_gets_a_new_connection() {
    let mut object = scheduled(Scheduler::LeastConnections, &[1, 2, 3]);
    let shares = shares(&mut object, 300);
    for id in 1..=3 {
        let share = shares[&backend(id)];
        assert!(share.abs_diff(100) <= 5, "{shares:?}");
        assert_eq!(object.active(id.into()), i64::from(share));
    }
}

#[test]
#[ignore = "needs root"]
fn load_is_measured_by_weight() {
    let mut object = scheduled(Scheduler::LeastConnections, &[2, 2, 2, 1]);
    object.set_weight(2, 3);
    let shares = shares(&mut object, 400);
    assert!(shares[&backend(2)].abs_diff(300) <= 6, "{shares:?}");
}

#[test]
#[ignore = "needs root"]
fn the_only_slot_is_drawn() {
    for scheduler in [Scheduler::LeastConnections, Scheduler::Random, Scheduler::Maglev] {
        let mut object = scheduled(scheduler, &[2]);
        assert_eq!(forward(&mut object, &syn(40_000)).dst, backend(2));
    }
}

#[test]
#[ignore = "needs root"]
fn an_empty_ring_has_nobody() {
    for scheduler in [Scheduler::LeastConnections, Scheduler::Random, Scheduler::Maglev] {
        let mut object = scheduled(scheduler, &[]);
        assert_eq!(object.run(&syn(40_000).frame()).reason, Reason::ResetNoBackend);
    }
}

#[test]
#[ignore = "needs root"]
fn a_connection_is_active_until_it_has_closed() {
    let mut object = scheduled(Scheduler::RoundRobin, &[1]);
    let last = connect(&mut object, 40_000);
    assert_eq!(object.active(1), 1);
    let from_client = |flags| Segment::new(client(40_000), VIP, flags);
    forward(&mut object, &from_client(Flags::FIN));
    assert_eq!(object.active(1), 1, "it is only closing");
    reply(&mut object, &last.answer(Flags::FIN));
    assert_eq!(object.active(1), 0);
    let last = connect(&mut object, 40_000);
    assert_eq!(object.active(1), 1, "a new one took its place");
    forward(&mut object, &from_client(Flags::RST));
    assert_eq!(object.active(1), 0);
    reply(&mut object, &last.answer(Flags::ACK));
    assert_eq!(object.active(1), 1, "the backend goes on, so the reset was not its client's");
}

#[test]
#[ignore = "needs root"]
fn a_connection_that_makes_room_is_no_longer_active() {
    let mut object = balancer_with(2, 1_000);
    for port in 0..1_000 {
        object.run(&syn(10_000 + port).frame());
        let active: i64 = (1..=3).map(|id| object.active(id)).sum();
        assert_eq!(usize::try_from(active), Ok(object.flows().len() / 2));
    }
}

#[test]
#[ignore = "needs root"]
fn a_sweep_corrects_what_was_miscounted() {
    let mut object = scheduled(Scheduler::LeastConnections, &[1, 2]);
    shares(&mut object, 20);
    object.miscount(1, 1_000);
    assert_eq!(shares_from(&mut object, 20_000, 20), [(backend(2), 20)].into());
    let expiry = [(1, Timeouts::default()), (2, Timeouts::default())].into();
    object.sweeper().sweep(now(), &expiry, &Search::default(), None);
    assert_eq!(shares_from(&mut object, 30_000, 20), [(backend(1), 20)].into());
}

#[test]
#[ignore = "needs root"]
fn a_connection_may_end_on_another_cpu_than_it_began_on() {
    for scheduler in [Scheduler::RoundRobin, Scheduler::LeastConnections] {
        let mut object = scheduled(scheduler, &[1]);
        for port in 40_000..40_010 {
            on(0, || connect(&mut object, port));
        }
        assert_eq!(object.active(1), 10);
        for port in 40_000..40_007 {
            let reset = Segment::new(client(port), VIP, Flags::RST);
            on(cpus() - 1, || forward(&mut object, &reset));
        }
        assert_eq!(object.active(1), 3);
        object.sweeper().sweep(now(), &[(1, Timeouts::default())].into(), &Search::default(), None);
        assert_eq!(object.active(1), 3);
    }
}

#[test]
#[ignore = "needs root"]
fn connections_are_compared_that_were_opened_before_they_were_compared() {
    let mut object = scheduled(Scheduler::RoundRobin, &[1]);
    shares(&mut object, 20);
    let expiry = [(1, Timeouts::default()), (2, Timeouts::default())].into();
    let mut sweeper = object.sweeper();
    sweeper.sweep(now(), &expiry, &Search::default(), None);
    object.schedule(VIP, Scheduler::LeastConnections, &[1, 2]);
    assert_eq!(shares_from(&mut object, 20_000, 19), [(backend(2), 19)].into());
    assert_eq!([1, 2].map(|id| object.active(id)), [20, 19]);
    object.schedule(VIP, Scheduler::RoundRobin, &[1, 2]);
    assert_eq!(shares_from(&mut object, 30_000, 10), [(backend(1), 5), (backend(2), 5)].into());
    assert_eq!([1, 2].map(|id| object.active(id)), [25, 24]);
    sweeper.sweep(now(), &expiry, &Search::default(), None);
    assert_eq!([1, 2].map(|id| object.active(id)), [25, 24]);
}

#[test]
#[ignore = "needs root"]
fn the_daemon_reads_and_ends_the_refusals_of_the_backend_that_refuses() {
    for id in 1..=3 {
        let mut object = scheduled(Scheduler::RoundRobin, &[id]);
        let opened = forward(&mut object, &syn(40_000));
        reply(&mut object, &opened.answer(Flags::RST_ACK));
        let refusals = object.mapped_refusals();
        let counts = || (1..=3).map(|id| refusals.of(id)).collect::<Vec<_>>();
        let expected: Vec<_> = (1..=3).map(|other| u32::from(other == id)).collect();
        assert_eq!(counts(), expected);
        refusals.set(id, 0);
        assert_eq!(object.refusals(id), 0);
    }
}
