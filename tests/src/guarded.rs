//! The host guard of the shipped object, fed with frames by `BPF_PROG_TEST_RUN`.

use std::net::{Ipv4Addr, SocketAddrV4};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, PerCpuArray},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use lb_common::{
    address_filter,
    guard::Guarded,
    macs::{self, Slot},
    mapped,
    reason::Reason,
    service::{Service, ServiceKey},
    stats::Count,
};
use lb_dataplane::{FLOWS, ServiceTable, maps::Table as _};
use nix::sched::{CloneFlags, unshare};

use crate::{frame::BALANCER_MAC, object::OBJECT};

/// tc's verdict on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Left to the next program.
    Next,
    Dropped,
}

/// The loaded guard and its maps, in a network namespace of this thread.
pub struct Guard(Ebpf);

impl Guard {
    /// # Panics
    ///
    /// If the kernel refuses; root is needed.
    #[must_use]
    pub fn load() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; are you root?");
        let mut loader = EbpfLoader::new();
        loader.map_max_entries(FLOWS, 2);
        let mut ebpf = loader.load(OBJECT).expect("loads");
        guard(&mut ebpf).load().expect("verifies");
        let mut guard = Self(ebpf);
        guard.own_mac(BALANCER_MAC);
        guard
    }

    /// Returns the number of instructions that the verifier has processed.
    ///
    /// # Panics
    ///
    /// If the kernel does not report it.
    #[must_use]
    pub fn verified_instructions(&mut self) -> u32 {
        let info = guard(&mut self.0).info().expect("known");
        info.verified_instruction_count().expect("counted")
    }

    fn own_mac(&mut self, mac: [u8; 6]) {
        let place = macs::slot_of(mac);
        let map = self.0.map_mut("OWN_MACS").expect("named");
        let mut slots: Array<_, Slot> = map.try_into().expect("typed");
        let mut slot = slots.get(&place, 0).expect("in range");
        assert!(slot.add(mac), "room");
        slots.set(place, slot, 0).expect("in range");
    }

    pub fn serve(&mut self, vip: SocketAddrV4) {
        self.expect_packets_for(*vip.ip());
        self.set_address(*vip.ip(), Guarded { is_vip: 1, ..Guarded::NOTHING });
        let service = <Service as bytemuck::Zeroable>::zeroed();
        let mut services = ServiceTable::open(&self.0).expect("maps");
        services.insert(&key(vip), &service).expect("room");
    }

    /// Adds source addresses that are not VIPs, too.
    pub fn source(&mut self, address: Ipv4Addr, first_port: u16, last_port: u16) {
        self.expect_packets_for(address);
        self.set_address(address, Guarded { first_port, last_port, is_vip: 0 });
    }

    pub fn backend(&mut self, address: SocketAddrV4) {
        self.insert("GUARD_BACKENDS", key(address), 0_u32);
    }

    /// Sends a frame through the guard.
    ///
    /// # Panics
    ///
    /// If the counters contradict the verdict.
    pub fn run(&mut self, frame: &[u8]) -> Verdict {
        let before = self.counted();
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        let result = guard(&mut self.0).test_run(options).expect("the kernel runs it");
        let (verdict, counts) = match result.return_value.cast_signed() {
            -1 => (Verdict::Next, 0),
            2 => (Verdict::Dropped, 1),
            other => panic!("not the guard's action: {other}"),
        };
        assert_eq!(self.counted(), before + counts);
        verdict
    }

    fn counted(&self) -> u64 {
        let counts: PerCpuArray<_, Count> =
            self.0.map("VERDICTS").expect("named").try_into().expect("typed");
        let values = counts.get(&(Reason::Guarded as u32), 0).expect("in range");
        values.iter().map(|count| count.packets).sum()
    }

    fn set_address(&mut self, address: Ipv4Addr, guarded: Guarded) {
        self.insert("GUARD_ADDRESSES", mapped(address.octets()), guarded);
    }

    fn expect_packets_for(&mut self, address: Ipv4Addr) {
        let (word, bit) = address_filter::bit_of(address.octets());
        let map = self.0.map_mut("VIP_FILTER").expect("named");
        let mut words: Array<_, u64> = map.try_into().expect("typed");
        let bits = words.get(&word, 0).expect("in range");
        words.set(word, bits | bit, 0).expect("in range");
    }

    fn insert<K: Pod, V: Pod>(&mut self, map: &str, key: K, value: V) {
        let map = self.0.map_mut(map).expect("named");
        let mut map: HashMap<_, K, V> = map.try_into().expect("typed");
        map.insert(key, value, 0).expect("room");
    }
}

fn guard(ebpf: &mut Ebpf) -> &mut SchedClassifier {
    ebpf.program_mut("xdplb_guard").expect("named").try_into().expect("a tc program")
}

fn key(address: SocketAddrV4) -> ServiceKey {
    ServiceKey::tcp(mapped(address.ip().octets()), address.port().to_be_bytes())
}
