//! The shipped object in the kernel, fed with frames by `BPF_PROG_TEST_RUN`.

mod counters;
mod flows;
mod rings;

use std::{
    collections::HashSet,
    fs::File,
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    sync::Arc,
};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, xdp::DevMapHash},
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use lb_common::{
    address_filter,
    backend::{Backend, Hop},
    event::ClientHop,
    guard::Guarded,
    limits,
    macs::{self, Slot},
    mapped,
    reason::Reason,
    ring::{Ring, SLOTS, Slots},
    schedule::Scheduler,
    service::{Service, ServiceKey},
    service_table,
    snat::Source,
    table::{Import, Imported, Seed},
};
use lb_dataplane::{
    Clock, Constants, FlowTable, Lanes, Leases, Refusals, Rehearsal, ServiceTable, TablePlan,
    Variants, maps::Table as _,
};
use log::LevelFilter;
use nix::sched::{CloneFlags, unshare};

use crate::frame::{BACKEND_MAC, BALANCER_MAC};

pub const OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../lb-ebpf/object/lb.bpf.o"));

/// The namespace's loopback interface, on which frames of a test run arrive.
pub const INGRESS: u32 = 1;

/// Longer than any frame of these tests.
const FRAME_ROOM: usize = 10_000;

/// XDP's action on a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Aborted,
    Drop,
    Pass,
    Tx,
    Redirect,
}

impl Action {
    fn of(returned: u32) -> Self {
        match returned {
            0 => Self::Aborted,
            1 => Self::Drop,
            2 => Self::Pass,
            3 => Self::Tx,
            4 => Self::Redirect,
            other => panic!("no XDP action: {other}"),
        }
    }
}

/// A frame as it left the program, and the program's verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub action: Action,
    pub frame: Vec<u8>,
    pub reason: Reason,
}

/// The loaded program and its maps, in a network namespace of this thread.
pub struct Object {
    ebpf: Ebpf,
    constants: Constants,
    flows: Arc<FlowTable>,
    services: ServiceTable,
    /// VIP of backends that are in no ring yet: that of the last service.
    vip: Option<SocketAddrV4>,
    /// Keeps its namespace, whose interfaces it may redirect to, while this thread is in another object's.
    _namespace: File,
}

/// The same in each run, so that a test's outcome is, too.
const SEED: Seed = Seed::of_number(0);

impl Object {
    /// Loads the object with a flow table for this many connections.
    ///
    /// # Panics
    ///
    /// If the kernel refuses; root is needed.
    #[must_use]
    pub fn load(connections: u32) -> Self {
        Self::with_resets(connections, u32::MAX)
    }

    /// As [`Self::load`], but limits the resets of a CPU in each window of a rate limiter.
    ///
    /// # Panics
    ///
    /// As [`Self::load`].
    #[must_use]
    pub fn with_resets(connections: u32, resets: u32) -> Self {
        Self::planned(TablePlan::with_seed(connections, SEED), resets, false)
    }

    /// As [`Self::load`], but counts packets and bytes of each flow.
    ///
    /// # Panics
    ///
    /// As [`Self::load`].
    #[must_use]
    pub fn accounting(connections: u32) -> Self {
        Self::planned(TablePlan::with_seed(connections, SEED).accounting(true), u32::MAX, false)
    }

    /// As [`Self::load`], for addresses in groups.
    ///
    /// # Panics
    ///
    /// As [`Self::load`].
    #[must_use]
    pub fn grouped(connections: u32) -> Self {
        Self::planned(TablePlan::with_seed(connections, SEED), u32::MAX, true)
    }

    fn planned(plan: TablePlan, resets: u32, has_groups: bool) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace; are you root?");
        let namespace = File::open("/proc/thread-self/ns/net").expect("this thread's namespace");
        let constants = Constants {
            // As the daemon does by default.
            level: LevelFilter::Info as u8,
            resets,
            service_buckets: service_table::buckets(limits::SERVICES),
            has_groups: has_groups.into(),
            clock: Clock::of_kernel().expect("a clock"),
            lanes: Lanes::new(limits::BACKENDS).expect("CPUs"),
            plan,
        };
        let mut loader = EbpfLoader::new();
        constants.prepare(&mut loader);
        let mut ebpf = loader.load(OBJECT).expect("loads");
        let program: &mut Xdp = ebpf.program_mut("xdplb").expect("named").try_into().expect("XDP");
        program.load().expect("verifies");
        for name in ["client_hops", "import"] {
            let program: &mut Xdp = ebpf.program_mut(name).expect("named").try_into().expect("XDP");
            program.load().expect("verifies");
        }
        let flows = lb_dataplane::table(&plan, &mut ebpf).expect("maps");
        let services = ServiceTable::open(&ebpf).expect("maps");
        let mut object = Self {
            ebpf,
            constants,
            flows: Arc::new(flows),
            services,
            vip: None,
            _namespace: namespace,
        };
        object.own_mac(BALANCER_MAC);
        object
    }

    /// Loads the program's variant that tells what would happen to packets. Pins the maps in this directory.
    ///
    /// # Panics
    ///
    /// As [`Self::load`].
    #[must_use]
    pub fn rehearsal(&self, directory: &Path) -> Rehearsal {
        let maps = self.ebpf.maps().filter(|(name, _)| !name.starts_with('.'));
        let pinned = maps.map(|(name, map)| {
            let pin = directory.join(name);
            map.pin(&pin).expect("pins");
            (name.to_owned(), pin)
        });
        let variants = Variants::new(self.constants, pinned.collect());
        Rehearsal::load(&variants).expect("verifies")
    }

    /// Makes a MAC address one of the balancer's own.
    pub fn own_mac(&mut self, mac: [u8; 6]) {
        let index = macs::slot_of(mac);
        let mut slot: Slot = self.get("OWN_MACS", index);
        assert!(slot.add(mac), "room");
        self.set("OWN_MACS", index, &slot);
    }

    /// Makes packets from an address valid on this interface only; on none if it is 0.
    pub fn origin(&mut self, address: Ipv4Addr, ifindex: u32) {
        let (word, bit) = address_filter::bit_of(address.octets());
        let bits: u64 = self.get("ORIGIN_BITS", word);
        self.set("ORIGIN_BITS", word, &(bits | bit));
        self.insert("ORIGINS", u32::from_ne_bytes(address.octets()), ifindex);
    }

    /// Adds an address of balanced connections, and a backend, to the host guard.
    pub fn guard(&mut self, source: Ipv4Addr, ports: (u16, u16), backend: SocketAddrV4) {
        let (first_port, last_port) = ports;
        let guarded = Guarded { first_port, last_port, is_vip: 0 };
        self.insert("GUARD_ADDRESSES", mapped(source.octets()), guarded);
        let key = ServiceKey::tcp(mapped(backend.ip().octets()), backend.port().to_be_bytes());
        self.insert("GUARD_BACKENDS", key, 0_u32);
    }

    fn insert<K: Pod, V: Pod>(&mut self, map: &str, key: K, value: V) {
        let map = self.ebpf.map_mut(map).expect("named");
        let mut map: HashMap<_, K, V> = map.try_into().expect("typed");
        map.insert(key, value, 0).expect("room");
    }

    /// Puts a service, its backends and a source address into a group.
    ///
    /// # Panics
    ///
    /// If there is no such service.
    pub fn group(&mut self, group: u16, vip: SocketAddrV4, backends: &[u32], source: Ipv4Addr) {
        let key = ServiceKey::tcp(mapped(vip.ip().octets()), vip.port().to_be_bytes());
        let service = self.services.get(&key).expect("known");
        self.services.insert(&key, &Service { group, ..service }).expect("room");
        for id in backends {
            let backend: Backend = self.get("BACKENDS", *id);
            self.set("BACKENDS", *id, &Backend { group: group.into(), ..backend });
        }
        for address in [*vip.ip(), source] {
            self.insert("GROUP_ADDRESSES", mapped(address.octets()), u32::from(group));
        }
    }

    /// Returns the leases of groups.
    ///
    /// # Panics
    ///
    /// If they cannot be mapped.
    #[must_use]
    pub fn leases(&self) -> Leases {
        Leases::open(&self.ebpf).expect("maps")
    }

    /// Records that a backend has left its ring.
    pub fn leave(&mut self, id: u32, left: u32, is_down: bool) {
        let backend: Backend = self.get("BACKENDS", id);
        self.set("BACKENDS", id, &Backend { left, is_down: is_down.into(), ..backend });
    }

    /// Returns the number of handshakes that a backend has refused in a row.
    #[must_use]
    pub fn refusals(&self, id: u32) -> u32 {
        let count: i64 = self.get("REFUSALS", id);
        u32::try_from(count.max(0)).expect("few")
    }

    /// Clears a backend's refusals, as the daemon does after a check.
    pub fn forgive(&mut self, id: u32) {
        self.set("REFUSALS", id, &0_u64);
    }

    /// Returns the refusals as the daemon sees them.
    ///
    /// # Panics
    ///
    /// If they cannot be mapped.
    #[must_use]
    pub fn mapped_refusals(&self) -> Refusals {
        Refusals::open(&self.ebpf).expect("maps")
    }

    /// Makes refusals of a service's backends visible to their clients.
    pub fn pass_refusals(&mut self, vip: SocketAddrV4) {
        let key = ServiceKey::tcp(mapped(vip.ip().octets()), vip.port().to_be_bytes());
        let service = self.services.get(&key).expect("known");
        self.services.insert(&key, &Service { retries: 0, ..service }).expect("room");
    }

    /// Changes the next hops of these connections' replies, as the daemon does. Returns false if there is
    /// no room for one.
    #[must_use]
    pub fn write_hops(&self, hops: &[ClientHop]) -> bool {
        let program = self.ebpf.program("client_hops").expect("named");
        let program: &Xdp = program.try_into().expect("XDP");
        let data_in = Some(bytemuck::cast_slice(hops));
        let options = TestRunOptions { data_in, ..TestRunOptions::default() };
        let result = program.test_run(options).expect("the kernel runs it");
        match Action::of(result.return_value) {
            Action::Pass => true,
            Action::Drop => false,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the connections, as another table imports them.
    #[must_use]
    pub fn connections(&self) -> Vec<Import> {
        lb_dataplane::connections(self.flows.table()).collect()
    }

    /// Imports connections, as the daemon does.
    ///
    /// # Panics
    ///
    /// If the kernel does not run the program.
    #[must_use]
    pub fn import(&self, connections: &[Import]) -> Vec<Imported> {
        let program = self.ebpf.program("import").expect("named");
        let program: &Xdp = program.try_into().expect("XDP");
        lb_dataplane::import(program, connections).expect("the kernel runs it")
    }

    /// Tells the program whether connections are being moved.
    pub fn set_migrating(&mut self, is_migrating: bool) {
        self.set("MIGRATING", 0, &u64::from(is_migrating));
    }

    /// Adds a service whose ring holds these backend ids.
    pub fn serve(&mut self, vip: SocketAddrV4, ring: &[u32]) {
        self.schedule(vip, Scheduler::RoundRobin, ring);
    }

    /// As [`Self::serve`], with a scheduler.
    pub fn schedule(&mut self, vip: SocketAddrV4, scheduler: Scheduler, ring: &[u32]) {
        let ring = self.lay(0, ring);
        self.hand_out(vip, scheduler, ring);
    }

    /// Writes a ring of these backend ids, at an even offset of the arena.
    pub fn lay(&mut self, offset: u32, ids: &[u32]) -> Ring {
        for (index, ids) in (offset / SLOTS..).zip(ids.chunks(SLOTS as usize)) {
            let slots: Slots = std::array::from_fn(|nth| ids.get(nth).copied().unwrap_or(0));
            self.set("RINGS", index, &slots);
        }
        Ring { offset, length: u32::try_from(ids.len()).expect("a short ring") }
    }

    /// Adds a service with a scheduler, whose ring may be another's, too.
    pub fn hand_out(&mut self, vip: SocketAddrV4, scheduler: Scheduler, ring: Ring) {
        self.set_service(vip, 0, scheduler, ring);
    }

    /// Adds a service with this id, whose ring may be another's, too.
    pub fn service(&mut self, id: u32, vip: SocketAddrV4, ring: Ring) {
        self.set_service(vip, id, Scheduler::RoundRobin, ring);
    }

    fn set_service(&mut self, vip: SocketAddrV4, id: u32, scheduler: Scheduler, ring: Ring) {
        let slots = (ring.offset..ring.offset + ring.length).map(|slot| {
            let slots: Slots = self.get("RINGS", slot / SLOTS);
            slots[(slot % SLOTS) as usize]
        });
        let ids: HashSet<u32> = slots.collect();
        let members = u32::try_from(ids.len()).expect("few");
        self.vip = Some(vip);
        for id in ids {
            let backend: Backend = self.get("BACKENDS", id);
            let is_compared = (scheduler == Scheduler::LeastConnections).into();
            self.set("BACKENDS", id, &Backend { is_compared, ..of_vip(backend, vip) });
        }
        let scheduler = scheduler.number();
        let service = Service { ring, id, scheduler, members, retries: 1, group: 0 };
        self.expect_packets_for(*vip.ip());
        let key = ServiceKey::tcp(mapped(vip.ip().octets()), vip.port().to_be_bytes());
        self.services.insert(&key, &service).expect("room");
    }

    /// Adds a backend that is reached by an interface and draws from `count` sources from `sources`
    /// on.
    pub fn backend(&mut self, id: u32, address: SocketAddrV4, ifindex: u32, sources: (u32, u32)) {
        let former: Backend = self.get("BACKENDS", id);
        let backend = Backend {
            hop: Hop::new(BACKEND_MAC, BALANCER_MAC, ifindex),
            address: mapped(address.ip().octets()),
            port: address.port().to_be_bytes(),
            weight: 1,
            sources: sources.0,
            source_count: sources.1,
            vip: former.vip,
            vip_port: former.vip_port,
            ..Backend::default()
        };
        let vip = self.vip.filter(|_| former.vip_port == [0; 2]);
        let backend = vip.map_or(backend, |vip| of_vip(backend, vip));
        self.set("BACKENDS", id, &backend);
    }

    /// Gives a backend to the service with this VIP.
    pub fn move_backend(&mut self, id: u32, vip: SocketAddrV4) {
        let backend: Backend = self.get("BACKENDS", id);
        self.set("BACKENDS", id, &of_vip(backend, vip));
    }

    /// Sets a backend's weight, which is 1 at first.
    pub fn set_weight(&mut self, id: u32, weight: u16) {
        let backend: Backend = self.get("BACKENDS", id);
        self.set("BACKENDS", id, &Backend { weight, ..backend });
    }

    pub fn source(&mut self, index: u32, address: Ipv4Addr, first_port: u16, ports: u16) {
        self.expect_packets_for(address);
        let source = Source { address: mapped(address.octets()), first_port, ports };
        self.set("SNAT_SOURCES", index, &source);
    }

    fn expect_packets_for(&mut self, address: Ipv4Addr) {
        let (word, bit) = address_filter::bit_of(address.octets());
        let bits: u64 = self.get("VIP_FILTER", word);
        self.set("VIP_FILTER", word, &(bits | bit));
    }

    pub fn open_egress(&mut self, ifindex: u32) {
        let map = self.ebpf.map_mut("TX_PORTS").expect("named");
        let mut ports: DevMapHash<_> = map.try_into().expect("typed");
        ports.insert(ifindex, ifindex, None, 0).expect("an interface that can send");
    }

    #[must_use]
    pub fn program(&self) -> &Xdp {
        self.ebpf.program("xdplb").expect("named").try_into().expect("XDP")
    }

    /// Sends a frame through the program.
    ///
    /// # Panics
    ///
    /// If not exactly one reason was counted for it.
    pub fn run(&mut self, frame: &[u8]) -> Run {
        let before = self.reasons();
        let (action, frame) = self.run_uncounted(frame);
        let after = self.reasons();
        let mut counted =
            Reason::ALL.iter().filter(|reason| after[reason.as_str()] != before[reason.as_str()]);
        let reason = *counted.next().expect("a reason is counted");
        assert!(counted.next().is_none(), "one reason is counted, not two");
        assert_eq!(after[reason.as_str()], before[reason.as_str()] + 1);
        Run { action, frame, reason }
    }

    /// As [`Self::run`], for frames sent concurrently.
    #[must_use]
    pub fn run_uncounted(&self, frame: &[u8]) -> (Action, Vec<u8>) {
        let mut out = vec![0; FRAME_ROOM];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let result = self.program().test_run(options).expect("the kernel runs it");
        out.truncate(result.data_size_out as usize);
        (Action::of(result.return_value), out)
    }

    fn get<V: Pod>(&self, map: &str, index: u32) -> V {
        let map = self.ebpf.map(map).expect("named");
        let array: Array<_, V> = map.try_into().expect("typed");
        array.get(&index, 0).expect("in range")
    }

    fn set<V: Pod>(&mut self, map: &str, index: u32, value: &V) {
        let map = self.ebpf.map_mut(map).expect("named");
        let mut array: Array<_, V> = map.try_into().expect("typed");
        array.set(index, value, 0).expect("in range");
    }
}

/// Returns a backend of the service with this VIP.
fn of_vip(backend: Backend, vip: SocketAddrV4) -> Backend {
    Backend { vip: mapped(vip.ip().octets()), vip_port: vip.port().to_be_bytes(), ..backend }
}
