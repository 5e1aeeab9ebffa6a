//! The kernel side: the only owner of aya.

mod adopt;
mod attach;
mod client_hops;
mod clock;
mod counters;
mod detach;
mod events;
mod flows;
mod guard;
mod lasting;
mod load;
mod mapped;
mod messages;
mod origins;
mod pins;
mod sizes;

use std::{io::ErrorKind, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, Map, MapError, xdp::DevMapHash},
    programs::{Xdp, XdpMode},
};
use lb_common::{
    address_filter,
    backend::Backend,
    service::{Service, ServiceKey},
    snat::Source,
};

pub use self::{
    client_hops::HopWriter,
    clock::{Clock, now},
    counters::{Incidents, Verdicts},
    detach::detach,
    flows::{
        Expiry, FLOWS, FlowCounts, FlowTable, Moves, Scope, Search, States, Sweeper, TablePlan,
        megabytes,
    },
    guard::Present,
    mapped::{Active, Refusals},
    pins::{exists, is_attached, refuse_other_layouts},
    sizes::map_bytes,
};
use self::{guard::Index, load::PROGRAM, mapped::Rings, origins::Origins, pins::Pins};
use crate::{config::Limits, plan::Op};

const VIP_FILTER: &str = "VIP_FILTER";
const BACKENDS: &str = "BACKENDS";
const INCIDENTS_SEEN: &str = "INCIDENTS_SEEN";
const SERVICES: &str = "SERVICES";
const SNAT_SOURCES: &str = "SNAT_SOURCES";
const TRAFFIC: &str = "TRAFFIC";
const TX_PORTS: &str = "TX_PORTS";
const VERDICTS: &str = "VERDICTS";

/// The loaded program and its maps.
pub struct Dataplane {
    ebpf: Ebpf,
    pins: Pins,
    flows: Arc<FlowTable>,
    rings: Rings,
    active: Active,
    refusals: Refusals,
    guarded: Index,
    origins: Origins,
}

impl Dataplane {
    /// Loads the program, on the maps that a former daemon has left pinned if there are any.
    /// Nothing is attached yet: packets continue by the former program.
    pub fn load(bpffs: &Path, limits: &Limits) -> Result<Self> {
        let pins = Pins::open(bpffs)?;
        let (ebpf, flows) = load::load(&pins, limits)?;
        let (rings, active) = (Rings::open(&ebpf)?, Active::open(&ebpf)?);
        let refusals = Refusals::open(&ebpf)?;
        let (guarded, origins) = Default::default();
        Ok(Self { ebpf, pins, flows: Arc::new(flows), rings, active, refusals, guarded, origins })
    }

    /// Whether forwarding continues when the daemon ends: not if nobody else has the file system with
    /// the pins.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        lasting::is_lasting(self.pins.directory())
    }

    #[must_use]
    pub fn flows(&self) -> Arc<FlowTable> {
        Arc::clone(&self.flows)
    }

    /// Sweeps the flow table.
    pub fn sweeper(&self) -> Result<Sweeper> {
        Ok(Sweeper::new(self.flows(), Active::open(&self.ebpf)?))
    }

    /// A backend's connections that are not closed, at this moment.
    #[must_use]
    pub fn active(&self, backend: u32) -> u64 {
        self.active.of(backend)
    }

    /// How many handshakes a backend has refused in a row.
    #[must_use]
    pub fn refusals(&self, backend: u32) -> u32 {
        self.refusals.of(backend)
    }

    /// Backends that have refused handshakes, by id.
    #[must_use]
    pub fn refusing(&self) -> Vec<u32> {
        self.refusals.refusing()
    }

    /// Has new connections go to a backend again.
    pub fn end_refusals(&self, backend: u32) {
        self.refusals.set(backend, 0);
    }

    /// Has a backend refuse so many handshakes before they begin to count.
    pub fn ignore_refusals(&self, backend: u32, refusals: u32) {
        self.refusals.ignore(backend, refusals);
    }

    pub fn set_refusals(&self, backend: u32, count: u32) {
        self.refusals.set(backend, count);
    }

    /// The id of the loaded program.
    pub fn program_id(&self) -> Result<u32> {
        let Some(program) = self.ebpf.program(PROGRAM) else { unreachable!("checked when loaded") };
        Ok(program.info()?.id())
    }

    /// Whether the program took over an interface from a former daemon's.
    pub fn replace_program(&mut self, ifindex: u32) -> Result<bool> {
        let pin = self.pins.link(ifindex);
        attach::replace(self.program()?, &pin)
    }

    pub fn attach(&mut self, ifindex: u32, mode: XdpMode) -> Result<()> {
        let pin = self.pins.link(ifindex);
        attach::attach(self.program()?, ifindex, mode, &pin)
    }

    /// Takes the program off every interface that is not one of these, and then the host guard.
    pub fn detach_others(&mut self, kept: &[u32]) -> Result<()> {
        let others = |mut found: Vec<u32>| {
            found.retain(|ifindex| !kept.contains(ifindex));
            found.into_iter()
        };
        others(self.pins.links()?).try_for_each(|ifindex| self.detach_one(ifindex))?;
        others(self.pins.guards()?).try_for_each(|ifindex| guard::remove(&self.pins, ifindex))
    }

    /// Takes the program off an interface that it is on.
    pub fn detach_one(&mut self, ifindex: u32) -> Result<()> {
        attach::remove(&self.pins.link(ifindex))
    }

    /// Lets packets leave by an interface. Connections that know it by an index that it had before
    /// go on by it too.
    pub fn open_egress(&mut self, ifindex: u32, former: &[u32]) -> Result<()> {
        let map = self.map_mut(TX_PORTS)?;
        let mut ports: DevMapHash<_> = map.try_into()?;
        let mut known_as = former.iter().chain([&ifindex]);
        known_as.try_for_each(|name| ports.insert(*name, ifindex, None, 0)).with_context(|| {
            format!("cannot open interface {ifindex} for packets that leave by it")
        })
    }

    /// Carries operations out, in their order.
    pub fn apply(&mut self, ops: &[Op]) -> Result<()> {
        ops.iter().try_for_each(|op| self.apply_one(op))
    }

    fn apply_one(&mut self, op: &Op) -> Result<()> {
        self.guard_op(op)?;
        self.origins_op(op)?;
        match op {
            Op::SetSource { place, source } => {
                self.expect_packets_for(source.address)?;
                self.set::<Source>(SNAT_SOURCES, *place, source)
            }
            Op::SetBackend { id, backend } => self.set::<Backend>(BACKENDS, *id, backend),
            Op::ClearBackend { id } => {
                self.set(BACKENDS, *id, &Backend::default())?;
                self.end_refusals(*id);
                self.forget_traffic(*id)
            }
            Op::WriteSlots { offset, slots } => {
                self.rings.write(*offset, slots);
                Ok(())
            }
            Op::SetService { key, service } => {
                self.expect_packets_for(key.address)?;
                let mut services: HashMap<_, ServiceKey, Service> =
                    self.map_mut(SERVICES)?.try_into()?;
                services.insert(key, service, 0).context("cannot write a service")
            }
            Op::RemoveService { key } => {
                let mut services: HashMap<_, ServiceKey, Service> =
                    self.map_mut(SERVICES)?.try_into()?;
                services.remove(key).context("cannot remove a service")
            }
        }
    }

    /// Has the program look closer at packets to this address.
    fn expect_packets_for(&mut self, address: [u8; 16]) -> Result<()> {
        let (word, bit) = address_filter::bit_of_mapped(address);
        let mut words: Array<_, u64> = self.map_mut(VIP_FILTER)?.try_into()?;
        let bits = words.get(&word, 0).context("cannot read the addresses")?;
        words.set(word, bits | bit, 0).context("cannot write an address")
    }

    fn set<V: Pod>(&mut self, map: &str, place: u32, value: &V) -> Result<()> {
        let mut array: Array<_, V> = self.map_mut(map)?.try_into()?;
        array.set(place, value, 0).with_context(|| format!("cannot write to {map} at {place}"))
    }

    fn program(&mut self) -> Result<&mut Xdp> {
        let program = self.ebpf.program_mut(PROGRAM).context("the object has no program")?;
        Ok(program.try_into()?)
    }

    fn map(&self, name: &str) -> Result<&Map> {
        self.ebpf.map(name).with_context(|| format!("the object has no map {name}"))
    }

    fn map_mut(&mut self, name: &str) -> Result<&mut Map> {
        self.ebpf.map_mut(name).with_context(|| format!("the object has no map {name}"))
    }
}

/// Removes from a map what may have been gone before.
fn gone(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == ErrorKind::NotFound => {
            Ok(())
        }
        other => other,
    }
}
