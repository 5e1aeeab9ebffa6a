//! The kernel's maps.

use std::{io::ErrorKind, ops::Range};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{self, Map, MapData, MapError, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use lb_common::{ring::Ring, stats::Traffic};

use super::{Arena, Array, Counters, Handed, Maps, Table};
use crate::{
    BACKENDS, SNAT_SOURCES, TRAFFIC, VIP_FILTER, guard,
    mapped::{PastTraffic, Refusals, Rings, TcpCounters},
    origins,
    per_cpu::PerCpu,
    services::ServiceTable,
};

impl Maps {
    /// Takes the maps of a loaded object.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            rings: Box::new(Rings::open(ebpf)?),
            refusals: Box::new(Refusals::open(ebpf)?),
            services: Box::new(services(ebpf)?),
            backends: Box::new(array(ebpf, BACKENDS)?),
            sources: Box::new(array(ebpf, SNAT_SOURCES)?),
            addresses: Box::new(array(ebpf, VIP_FILTER)?),
            origins: Box::new(table(ebpf, origins::ORIGINS)?),
            origin_bits: Box::new(array(ebpf, origins::ORIGIN_BITS)?),
            own_macs: Box::new(array(ebpf, origins::OWN_MACS)?),
            guard_addresses: Box::new(table(ebpf, guard::GUARDED)?),
            guard_backends: Box::new(table(ebpf, guard::BACKENDS)?),
            traffic: Box::new(PerCpuTraffic::take(ebpf)?),
            past_traffic: Box::new(PastTraffic::of_backends(ebpf)?),
            kept_traffic: Box::new(PastTraffic::of_services(ebpf)?),
            tcp: Box::new(TcpCounters::open(ebpf)?),
        })
    }
}

/// Returns the table of services, repaired: an earlier daemon may have been killed while it wrote.
fn services(ebpf: &Ebpf) -> Result<ServiceTable> {
    let mut services = ServiceTable::open(ebpf)?;
    let cleared = services.repair();
    if cleared > 0 {
        log::warn!(
            "{cleared} entries of the kernel's index of services led to none, and are removed"
        );
    }
    Ok(services)
}

fn taken(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).with_context(|| format!("the object has no map {name}"))
}

fn table<K: Pod, V: Pod>(ebpf: &mut Ebpf, name: &str) -> Result<maps::HashMap<MapData, K, V>> {
    taken(ebpf, name)?.try_into().with_context(|| format!("{name} is not a hash map"))
}

fn array<V: Pod>(ebpf: &mut Ebpf, name: &str) -> Result<maps::Array<MapData, V>> {
    taken(ebpf, name)?.try_into().with_context(|| format!("{name} is not an array"))
}

impl<K: Pod + Send, V: Pod + Send> Table<K, V> for maps::HashMap<MapData, K, V> {
    fn entries(&self) -> Result<Vec<(K, V)>> {
        Ok(self.iter().collect::<Result<_, _>>()?)
    }

    fn insert(&mut self, key: &K, value: &V) -> Result<()> {
        Ok(self.insert(key, value, 0)?)
    }

    fn remove(&mut self, key: &K) -> Result<()> {
        match self.remove(key) {
            Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.kind() == ErrorKind::NotFound => {
                Ok(())
            }
            removed => Ok(removed?),
        }
    }
}

impl<V: Pod + Send> Array<V> for maps::Array<MapData, V> {
    fn size(&self) -> u32 {
        self.len()
    }

    fn get(&self, place: u32) -> Result<V> {
        Ok(self.get(&place, 0)?)
    }

    fn set(&mut self, place: u32, value: &V) -> Result<()> {
        Ok(self.set(place, value, 0)?)
    }
}

/// Traffic counters of backends.
struct PerCpuTraffic {
    map: PerCpuArray<MapData, Traffic>,
    sums: PerCpu<Traffic>,
    cpus: usize,
}

impl PerCpuTraffic {
    fn take(ebpf: &mut Ebpf) -> Result<Self> {
        let map = taken(ebpf, TRAFFIC)?;
        let sums = PerCpu::of_map(&map)?;
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        Ok(Self { map: map.try_into()?, sums, cpus })
    }
}

impl Counters<Traffic> for PerCpuTraffic {
    fn of(&self, backends: Range<u32>) -> Result<Vec<Traffic>> {
        self.sums.of(backends)
    }

    fn clear(&mut self, backend: u32) -> Result<()> {
        let nothing = PerCpuValues::try_from(vec![Traffic::default(); self.cpus])?;
        Ok(self.map.set(backend, nothing, 0)?)
    }
}

impl Counters<u32> for Refusals {
    fn of(&self, backends: Range<u32>) -> Result<Vec<u32>> {
        Ok(backends.map(|id| Self::of(self, id)).collect())
    }

    fn clear(&mut self, backend: u32) -> Result<()> {
        self.set(backend, 0);
        Ok(())
    }
}

impl Handed for TcpCounters {
    fn pass(&mut self, from: u32, to: u32) -> Result<()> {
        Self::pass(self, from, to);
        Ok(())
    }

    fn clear(&mut self, backend: u32) -> Result<()> {
        Self::clear(self, backend);
        Ok(())
    }
}

impl Array<Traffic> for PastTraffic {
    fn size(&self) -> u32 {
        Self::size(self)
    }

    fn get(&self, place: u32) -> Result<Traffic> {
        Ok(self.of(place))
    }

    fn set(&mut self, place: u32, traffic: &Traffic) -> Result<()> {
        Self::set(self, place, traffic);
        Ok(())
    }
}

impl Arena for Rings {
    fn read(&self, ring: Ring) -> Vec<u32> {
        Self::read(self, ring)
    }

    fn write(&mut self, offset: u32, slots: &[u32]) {
        Self::write(self, offset, slots);
    }
}
