//! The kernel side: the only owner of aya.

mod active;
mod adopt;
pub mod adoption;
pub mod arena;
mod attach;
mod changes;
mod client_hops;
mod clock;
mod constants;
mod counters;
mod detach;
mod events;
mod flows;
mod generation;
mod groups;
mod guard;
mod lasting;
mod layouts;
pub mod listing;
mod load;
mod mapped;
pub mod maps;
mod messages;
mod meter;
mod migration;
mod object;
mod origins;
mod per_cpu;
mod pins;
pub mod plan;
mod rehearsal;
pub mod ring;
mod runs;
mod services;
mod shapes;
mod sizes;
mod tracing;
mod traffic;
mod variants;
mod writer;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Map, xdp::DevMapHash},
    programs::{Xdp, XdpMode},
};
use lb_model::Limits;

use self::groups::Groups;
pub use self::{
    active::{Active, Lanes, possible_cpus},
    client_hops::HopWriter,
    clock::{Clock, now},
    constants::Constants,
    counters::{CounterReader, Incidents, Verdicts},
    detach::detach,
    flows::{
        Accounts, BACKENDS, CLIENT_HOPS, Ends, Expiry, FLOWS, FlowCounts, FlowTable, Moves, Scope,
        Search, States, Sweeper, TablePlan, flow_bytes, megabytes,
    },
    groups::{Leases, lease_time},
    guard::Present,
    layouts::{OnOtherMaps, exists, refuse_other_layouts},
    load::table,
    mapped::Refusals,
    meter::{Meter, are_translated, program_name},
    migration::{connections, import, is_migration_interrupted},
    pins::is_attached,
    rehearsal::{Rehearsal, Rehearsed},
    runs::Runs,
    services::{Mapped, ServiceTable},
    sizes::map_bytes,
    tracing::{Batch, Capture, Records, TracedProgram},
    variants::Variants,
    writer::MapWriter,
};
use self::{
    load::{Loaded, PROGRAM},
    maps::Maps,
    migration::Migration,
    pins::Pins,
};

const VIP_FILTER: &str = "VIP_FILTER";
const INCIDENTS_SEEN: &str = "INCIDENTS_SEEN";
const PAST_INCIDENTS: &str = "PAST_INCIDENTS";
const PAST_VERDICTS: &str = "PAST_VERDICTS";
const SERVICES: &str = "SERVICES";
const SNAT_SOURCES: &str = "SNAT_SOURCES";
const TRAFFIC: &str = "TRAFFIC";
const TX_PORTS: &str = "TX_PORTS";
const VERDICTS: &str = "VERDICTS";

/// The loaded program and its maps.
pub struct Dataplane {
    ebpf: Ebpf,
    pins: Pins,
    /// Attached in place of the usual program, for the time of a trace.
    traced: Option<TracedProgram>,
    flows: Arc<FlowTable>,
    constants: Constants,
    /// Names of the maps that outlive the daemon.
    shared: Vec<String>,
    refusals: Refusals,
    counters: Arc<CounterReader>,
    maps: MapWriter,
    groups: Groups,
    /// None if the maps are the same as before.
    migration: Option<Migration>,
}

impl Dataplane {
    /// Loads the program, with the pinned maps of an earlier daemon, if any; maps of another shape are
    /// copied. Nothing is attached yet: the earlier program keeps forwarding.
    pub fn load(
        bpffs: &Path,
        limits: &Limits,
        has_groups: bool,
        on_other_maps: OnOtherMaps,
    ) -> Result<Self> {
        let pins = Pins::open(bpffs)?;
        let Loaded { mut ebpf, table, constants, shared } =
            load::load(&pins, limits, has_groups, on_other_maps)?;
        let flows = Arc::new(table);
        let migration = Migration::prepare(&pins, &mut ebpf, &flows)?;
        let refusals = Refusals::open(&ebpf)?;
        let counters = Arc::new(CounterReader::open(&ebpf)?);
        let maps = MapWriter::new(Maps::take(&mut ebpf)?).counting(counters.shared_generation());
        let groups = Groups::take(&mut ebpf)?;
        object::close_maps(
            &mut ebpf,
            &[
                active::ACTIVE,
                events::EVENTS,
                events::ENDED,
                events::ENDS_WANTED,
                load::MESSAGES,
                migration::MIGRATING,
                TX_PORTS,
            ],
        );
        Ok(Self {
            ebpf,
            pins,
            traced: None,
            flows,
            constants,
            shared,
            refusals,
            counters,
            maps,
            groups,
            migration,
        })
    }

    /// Returns the leases of groups.
    #[must_use]
    pub fn leases(&self) -> Arc<Leases> {
        Arc::clone(&self.groups.leases)
    }

    /// Sets the number of the group of each address that is in one.
    pub fn set_group_addresses(&mut self, wanted: &BTreeMap<[u8; 16], u32>) -> Result<()> {
        self.groups.set_addresses(wanted).context("cannot write the addresses of groups")
    }

    /// Returns the writer of the maps of services and backends.
    pub fn maps(&mut self) -> &mut MapWriter {
        &mut self.maps
    }

    /// Returns a reader of the counters.
    #[must_use]
    pub fn counters(&self) -> Arc<CounterReader> {
        Arc::clone(&self.counters)
    }

    /// Returns what is needed to load variants of the program.
    #[must_use]
    pub fn variants(&self) -> Variants {
        let shared = self.shared.iter().map(|name| (name.clone(), self.pins.map(name)));
        let own = guard::MAPS.map(|name| (name.to_owned(), self.pins.own_map(name)));
        Variants::new(self.constants, shared.chain(own).collect())
    }

    /// Returns true if forwarding continues when the daemon ends: not if no other process has
    /// mounted the file system with the pins.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        lasting::is_lasting(self.pins.directory())
    }

    #[must_use]
    pub fn flows(&self) -> Arc<FlowTable> {
        Arc::clone(&self.flows)
    }

    /// Returns a sweeper of the flow table.
    pub fn sweeper(&self) -> Result<Sweeper> {
        Ok(Sweeper::new(self.flows(), Active::open(&self.ebpf)?))
    }

    /// Returns the number of handshakes that a backend has refused in a row.
    #[must_use]
    pub fn refusals(&self, backend: u32) -> u32 {
        self.refusals.of(backend)
    }

    /// Returns the ids of backends that have refused handshakes.
    #[must_use]
    pub fn refusing(&self) -> Vec<u32> {
        self.refusals.refusing()
    }

    /// Lets new connections go to a backend again.
    pub fn end_refusals(&self, backend: u32) {
        self.refusals.set(backend, 0);
    }

    /// Ignores this many further refusals of a backend.
    pub fn ignore_refusals(&self, backend: u32, refusals: u32) {
        self.refusals.ignore(backend, refusals);
    }

    /// Counts the refusals of a backend on under another id.
    pub fn pass_refusals(&self, from: u32, to: u32) {
        self.refusals.pass(from, to);
    }

    pub fn set_refusals(&self, backend: u32, count: u32) {
        self.refusals.set(backend, count);
    }

    /// Returns the id of the program that is attached to interfaces.
    pub fn program_id(&self) -> Result<u32> {
        let Some(program) = self.attached().program(PROGRAM) else {
            unreachable!("checked when loaded")
        };
        Ok(program.info()?.id())
    }

    /// Replaces an earlier daemon's program on an interface. Returns false if there is none.
    pub fn replace_program(&mut self, ifindex: u32) -> Result<bool> {
        let pin = self.pins.link(ifindex);
        attach::replace(self.program()?, &pin)
    }

    /// Attaches the program in the interface's driver.
    pub fn attach_native(&mut self, ifindex: u32) -> Result<()> {
        self.attach(ifindex, XdpMode::Driver)
    }

    /// Attaches the program after the interface's driver.
    pub fn attach_generic(&mut self, ifindex: u32) -> Result<()> {
        self.attach(ifindex, XdpMode::Skb)
    }

    fn attach(&mut self, ifindex: u32, mode: XdpMode) -> Result<()> {
        let pin = self.pins.link(ifindex);
        attach::attach(self.program()?, ifindex, mode, &pin)
    }

    /// Detaches the program, and then the host guard, from all other interfaces.
    pub fn detach_others(&mut self, kept: &[u32]) -> Result<()> {
        let others = |mut found: Vec<u32>| {
            found.retain(|ifindex| !kept.contains(ifindex));
            found.into_iter()
        };
        others(self.pins.links()?).try_for_each(|ifindex| self.detach_one(ifindex))?;
        others(self.pins.guards()?).try_for_each(|ifindex| guard::remove(&self.pins, ifindex))
    }

    /// Detaches the program from an interface.
    pub fn detach_one(&mut self, ifindex: u32) -> Result<()> {
        attach::remove(&self.pins.link(ifindex))
    }

    /// Allows output on an interface, also for connections that refer to it by a former index.
    pub fn open_egress(&mut self, ifindex: u32, former: &[u32]) -> Result<()> {
        let map = self.map_mut(TX_PORTS)?;
        let mut ports: DevMapHash<_> = map.try_into()?;
        let mut known_as = former.iter().chain([&ifindex]);
        known_as.try_for_each(|name| ports.insert(*name, ifindex, None, 0)).with_context(|| {
            format!("cannot open interface {ifindex} for packets that leave by it")
        })
    }

    /// Returns the variant that is, or will be, attached.
    fn attached(&self) -> &Ebpf {
        self.traced.as_ref().map_or(&self.ebpf, |traced| &traced.0)
    }

    fn program(&mut self) -> Result<&mut Xdp> {
        let attached = self.traced.as_mut().map_or(&mut self.ebpf, |traced| &mut traced.0);
        let program = attached.program_mut(PROGRAM).context("the object has no program")?;
        Ok(program.try_into()?)
    }

    fn map_mut(&mut self, name: &str) -> Result<&mut Map> {
        object::map_mut(&mut self.ebpf, name)
    }
}
