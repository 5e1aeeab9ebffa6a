//! What `xdplb explain` tells of a packet, held against what the packet then meets.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    env,
    fmt::Debug,
    net::{Ipv4Addr, SocketAddrV4},
    process,
    time::Duration,
};

use lb_common::{
    flow::Direction,
    reason::Reason,
    schedule::Scheduler,
    stats::Incident,
    trail::{Met, Trail},
};
use lb_dataplane::{Rehearsal, Rehearsed, now};
use lb_testbed::BpfFs;
use lb_tests::{
    frame::{BACKEND_ISN, CLIENT_ISN, Flags, Segment},
    object::{INGRESS, Object, Run},
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::testbed::{
    FIRST_PORT, SOURCE, VIP, backend, balancer_with, client, connect, stay_on, syn,
};

/// Fewer than there are clients: some find none.
const PORTS: u16 = 4;
const CLIENTS: u16 = 20;

/// Of a service whose ring is empty.
const VACANT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 11), 80);
/// Of no service, on a service's address.
const UNSERVED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 81);

/// A packet, and the time that passes before.
#[derive(Clone, Debug)]
struct Sent {
    side: Direction,
    client: u16,
    vip: SocketAddrV4,
    flags: Flags,
    /// Relative to the initial numbers.
    numbers: (u32, u32),
    payload: bool,
    ttl: u8,
    own_mac: bool,
    pause: Duration,
}

fn sent() -> impl Strategy<Value = Sent> {
    let flags = vec![
        Flags::SYN,
        Flags::SYN,
        Flags::SYN_ACK,
        Flags::ACK,
        Flags::ACK,
        Flags::FIN,
        Flags::RST,
        Flags::RST_ACK,
        Flags::SYN_FIN,
    ];
    let number = || select(vec![0_u32, 1, 1, 1, 2, 10, 1 << 20, 1 << 31]);
    let seconds = select(vec![0, 0, 0, 0, 1, 100]).prop_map(Duration::from_secs);
    (
        select(vec![Direction::ToBackend, Direction::ToClient]),
        0..CLIENTS,
        select(vec![VIP, VIP, VIP, VIP, VIP, VIP, VACANT, UNSERVED]),
        select(flags),
        (number(), number()),
        any::<bool>(),
        select(vec![64, 64, 64, 64, 64, 64, 1]),
        prop::bool::weighted(0.95),
        seconds,
    )
        .prop_map(|(side, client, vip, flags, numbers, payload, ttl, own_mac, pause)| Sent {
            side,
            client,
            vip,
            flags,
            numbers,
            payload,
            ttl,
            own_mac,
            pause,
        })
}

impl Sent {
    /// Returns the segment; a backend's is of the client's connection, if that was opened.
    fn segment(&self, opened: &HashMap<u16, Segment>) -> Segment {
        let port = 40_000 + self.client;
        let (segment, own, other) = match (self.side, opened.get(&self.client)) {
            (Direction::ToBackend, _) => {
                (Segment::new(client(port), self.vip, self.flags), CLIENT_ISN, BACKEND_ISN)
            }
            (Direction::ToClient, Some(opened)) => {
                (opened.answer(self.flags), BACKEND_ISN, CLIENT_ISN)
            }
            (Direction::ToClient, None) => {
                let source = SocketAddrV4::new(SOURCE, FIRST_PORT + self.client % PORTS);
                (Segment::new(backend(1), source, self.flags), BACKEND_ISN, CLIENT_ISN)
            }
        };
        let dst_mac = if self.own_mac { segment.dst_mac } else { [2, 0, 0, 0, 0, 9] };
        let payload: &[u8] = if self.payload { b"data" } else { b"" };
        let sequence = own.wrapping_add(self.numbers.0);
        let acknowledgement = other.wrapping_add(self.numbers.1);
        Segment { ttl: self.ttl, dst_mac, sequence, acknowledgement, ..segment }
            .with_payload(payload)
    }
}

struct Stage {
    object: Object,
    rehearsal: Rehearsal,
    _pins: BpfFs,
}

impl Stage {
    /// Stays on a CPU, as turns and source ports are drawn by each CPU.
    fn new() -> Self {
        stay_on(0);
        let mut object = balancer_with(30, PORTS);
        let empty = object.lay(100, &[]);
        object.service(1, VACANT, empty);
        object.origin(Ipv4Addr::new(10, 0, 0, 11), INGRESS);
        let directory = env::temp_dir().join(format!("xdplb-rehearsal-{}", process::id()));
        let pins = BpfFs::mount(&directory).expect("mounts");
        let rehearsal = object.rehearsal(pins.path());
        Self { object, rehearsal, _pins: pins }
    }

    fn rehearse(&mut self, frame: &[u8]) -> Rehearsed {
        self.rehearsal.run(frame, INGRESS).expect("runs")
    }

    fn trail(&mut self, segment: &Segment) -> Trail {
        self.rehearse(&segment.frame()).trail
    }

    /// Fails unless a rehearsal tells what then happens, and leaves no trace.
    fn holds(&mut self, frame: &[u8]) -> Result<Run, TestCaseError> {
        let before = self.traces();
        self.rehearse(frame);
        prop_assert_eq!(self.traces(), before, "a rehearsal leaves no trace");
        let told_at = now();
        let told = self.rehearse(frame);
        let run = self.object.run(frame);
        // Which of several connections gives its port up depends on how long they have been idle.
        if now() != told_at {
            return Ok(run);
        }
        let reason = Reason::ALL[told.trail.reason as usize - 1];
        prop_assert_eq!((reason, told.frame), (run.reason, run.frame.clone()), "{:?}", told.trail);
        Ok(run)
    }

    fn traces(&self) -> impl PartialEq + Debug + use<> {
        let flows: BTreeMap<_, _> = self
            .object
            .flows()
            .into_iter()
            .map(|(key, (tag, flow))| (format!("{key:?}"), format!("{tag:?} {flow:?}")))
            .collect();
        let incidents: Vec<_> =
            Incident::ALL.iter().map(|one| self.object.incidents(*one)).collect();
        let traffic: Vec<_> = (1..=3).map(|id| self.object.traffic(id)).collect();
        let refusals: Vec<_> = (1..=3).map(|id| self.object.refusals(id)).collect();
        let mut reasons: Vec<_> = self.object.reasons().into_iter().collect();
        reasons.sort_unstable();
        (flows, incidents, traffic, refusals, reasons)
    }

    /// Sends packets. Returns the reasons that they have met.
    fn follow(&mut self, packets: &[Sent]) -> Result<Vec<&'static str>, TestCaseError> {
        let mut opened = HashMap::new();
        let mut met = Vec::new();
        for packet in packets {
            self.object.pass_time(packet.pause);
            let segment = packet.segment(&opened);
            let run = self.holds(&segment.frame())?;
            met.push(run.reason.as_str());
            let is_to_backend = run.reason == Reason::Forwarded;
            if is_to_backend && segment.flags == Flags::SYN {
                opened.insert(packet.client, Segment::read(&run.frame));
            }
        }
        Ok(met)
    }
}

#[test]
#[ignore = "needs root"]
fn a_rehearsal_tells_what_thousands_of_random_packets_then_meet() {
    let stage = RefCell::new(Stage::new());
    let met = RefCell::new(BTreeSet::new());
    for scheduler in [Scheduler::RoundRobin, Scheduler::RoundRobinPerCpu, Scheduler::SourceHash] {
        stage.borrow_mut().object.schedule(VIP, scheduler, &[1, 2, 3]);
        let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
        // The same packets in each run, as they must meet all that is expected below.
        let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        TestRunner::new_with_rng(config, random)
            .run(&vec(sent(), 1..80), |packets| {
                met.borrow_mut().extend(stage.borrow_mut().follow(&packets)?);
                Ok(())
            })
            .expect("they agree");
    }
    let expected = [
        Reason::BadFlags,
        Reason::Forwarded,
        Reason::NotOurs,
        Reason::OtherMac,
        Reason::Quarantined,
        Reason::Refused,
        Reason::Replied,
        Reason::ResetNoBackend,
        Reason::ResetUnknownFlow,
        Reason::StrayReset,
        Reason::TtlExpired,
    ];
    let met = met.into_inner();
    let missed: Vec<_> =
        expected.iter().map(|reason| reason.as_str()).filter(|name| !met.contains(name)).collect();
    assert!(missed.is_empty(), "no packet has met {missed:?}");
}

#[test]
#[ignore = "needs root"]
fn ports_that_are_all_in_use_are_told() {
    let mut stage = Stage::new();
    for taken in 0..3 * PORTS {
        connect(&mut stage.object, 40_000 + taken);
    }
    let run = stage.holds(&syn(50_000).frame()).expect("as told");
    assert_eq!(run.reason, Reason::PortsExhausted);
}

#[test]
#[ignore = "needs root"]
fn a_trail_names_service_backend_and_slot() {
    let mut stage = Stage::new();
    let new = stage.trail(&syn(40_000));
    assert_eq!((new.met, new.service, new.backend), (Met::Unknown as u32, 1, 1), "{new:?}");
    assert_eq!((new.slot, new.slots, new.egress), (1, 3, INGRESS), "{new:?}");

    let opened = connect(&mut stage.object, 40_000);
    let known = stage.trail(&Segment::new(client(40_000), VIP, Flags::ACK));
    assert_eq!((known.met, known.backend), (Met::Known as u32, 1), "{known:?}");
    assert_eq!(
        (known.service, known.slot, known.slots),
        (0, 0, 0),
        "nothing is selected: {known:?}"
    );

    let reply = stage.trail(&opened.answer(Flags::ACK));
    assert_eq!((reply.client, reply.client_port), (known.client, known.client_port));
    assert_eq!((reply.vip, reply.vip_port), (known.vip, known.vip_port), "{reply:?}");
    let second = stage.trail(&syn(40_001));
    assert_eq!((second.slot, second.backend), (2, 2), "the next turn: {second:?}");
}
