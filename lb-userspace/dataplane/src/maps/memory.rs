//! Maps in memory, whose writes fail on a test's request.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    ops::{AddAssign, Range},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Result, ensure};
use lb_common::{
    address_filter,
    backend::Backend,
    guard::Guarded,
    macs,
    ring::Ring,
    service::{Service, ServiceKey},
    snat::Source,
    stats::{TcpStats, Traffic},
};

use super::{Address, Arena, Array, Counters, Handed, Maps, Table};

/// Memory of the maps. Clones share it.
#[derive(Clone, Default)]
pub struct Memory {
    stored: Arc<Mutex<Stored>>,
    watcher: Arc<Mutex<Option<Watcher>>>,
}

/// Called with the maps after every write.
type Watcher = Box<dyn FnMut(&Stored) + Send>;

/// Content of the maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub services: BTreeMap<ServiceKey, Service>,
    pub backends: BTreeMap<u32, Backend>,
    pub sources: BTreeMap<u32, Source>,
    pub slots: BTreeMap<u32, u32>,
    pub addresses: BTreeMap<u32, u64>,
    pub origins: BTreeMap<u32, u32>,
    pub origin_bits: BTreeMap<u32, u64>,
    pub own_macs: BTreeMap<u32, macs::Slot>,
    pub guard_addresses: BTreeMap<Address, Guarded>,
    pub guard_backends: BTreeMap<ServiceKey, u32>,
    pub traffic: BTreeMap<u32, Traffic>,
    pub past_traffic: BTreeMap<u32, Traffic>,
    pub kept_traffic: BTreeMap<u32, Traffic>,
    pub tcp: BTreeMap<u32, TcpStats>,
    pub refusals: BTreeMap<u32, u32>,
    calls: Calls,
}

/// Number of writes and reads of whole maps, and those that fail.
#[derive(Clone, Debug, Default, PartialEq)]
struct Calls {
    count: usize,
    failing: Vec<Range<usize>>,
}

/// One of the maps.
struct Part<K, V> {
    memory: Memory,
    of: fn(&mut Stored) -> &mut BTreeMap<K, V>,
    size: u32,
}

impl Memory {
    /// Returns these maps, with room for this many backends.
    #[must_use]
    pub fn maps(&self, backends: u32) -> Maps {
        Maps {
            services: Box::new(self.part(|all| &mut all.services, 0)),
            backends: Box::new(self.part(|all| &mut all.backends, backends)),
            sources: Box::new(self.part(|all| &mut all.sources, 16)),
            rings: Box::new(self.clone()),
            addresses: Box::new(self.part(|all| &mut all.addresses, address_filter::WORDS)),
            origins: Box::new(self.part(|all| &mut all.origins, 0)),
            origin_bits: Box::new(self.part(|all| &mut all.origin_bits, address_filter::WORDS)),
            own_macs: Box::new(self.part(|all| &mut all.own_macs, macs::SLOTS)),
            guard_addresses: Box::new(self.part(|all| &mut all.guard_addresses, 0)),
            guard_backends: Box::new(self.part(|all| &mut all.guard_backends, 0)),
            traffic: Box::new(self.part(|all| &mut all.traffic, backends)),
            past_traffic: Box::new(self.part(|all| &mut all.past_traffic, backends)),
            kept_traffic: Box::new(self.part(|all| &mut all.kept_traffic, backends)),
            tcp: Box::new(self.part(|all| &mut all.tcp, backends)),
            refusals: Box::new(self.part(|all| &mut all.refusals, backends)),
        }
    }

    fn part<K, V>(&self, of: fn(&mut Stored) -> &mut BTreeMap<K, V>, size: u32) -> Part<K, V> {
        Part { memory: self.clone(), of, size }
    }

    pub fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes these calls fail, counted from now on. Returns the number of calls since the last
    /// time.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn fail(&self, failing: &[Range<usize>]) -> usize {
        let calls = Calls { count: 0, failing: failing.to_vec() };
        std::mem::replace(&mut self.stored().calls, calls).count
    }

    /// Sets the watcher of all further writes.
    pub fn watch(&self, watcher: impl FnMut(&Stored) + Send + 'static) {
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(watcher));
    }

    fn written(&self) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = watcher.as_mut() {
            watcher(&self.stored());
        }
    }
}

impl Stored {
    /// Returns the slots of a service's ring.
    #[must_use]
    pub fn ring(&self, key: &ServiceKey) -> Vec<u32> {
        self.services.get(key).map(|service| self.slots_of(service.ring)).unwrap_or_default()
    }

    fn slots_of(&self, Ring { offset, length }: Ring) -> Vec<u32> {
        let slots = offset..offset.saturating_add(length);
        slots.map(|at| self.slots.get(&at).copied().unwrap_or_default()).collect()
    }

    fn call(&mut self) -> Result<()> {
        let nth = self.calls.count;
        self.calls.count += 1;
        ensure!(!self.calls.failing.iter().any(|calls| calls.contains(&nth)), "call {nth} fails");
        Ok(())
    }
}

impl<K: Ord, V> Part<K, V> {
    fn with<R>(&self, read: impl FnOnce(&mut BTreeMap<K, V>) -> R) -> R {
        read((self.of)(&mut self.memory.stored()))
    }

    fn write<R>(&self, write: impl FnOnce(&mut BTreeMap<K, V>) -> R) -> Result<R> {
        let mut stored = self.memory.stored();
        stored.call()?;
        let written = write((self.of)(&mut stored));
        drop(stored);
        self.memory.written();
        Ok(written)
    }
}

impl<K: Copy + Ord + Send, V: Copy + Send> Table<K, V> for Part<K, V> {
    fn entries(&self) -> Result<Vec<(K, V)>> {
        self.memory.stored().call()?;
        Ok(self.with(|values| values.iter().map(|(key, value)| (*key, *value)).collect()))
    }

    fn insert(&mut self, key: &K, value: &V) -> Result<()> {
        self.write(|values| values.insert(*key, *value)).map(|_| ())
    }

    fn remove(&mut self, key: &K) -> Result<()> {
        self.write(|values| values.remove(key)).map(|_| ())
    }
}

impl<V: Copy + Debug + Default + PartialEq + Send> Array<V> for Part<u32, V> {
    fn size(&self) -> u32 {
        self.size
    }

    fn get(&self, place: u32) -> Result<V> {
        ensure!(place < self.size, "no place {place} of {}", self.size);
        Ok(self.with(|values| values.get(&place).copied().unwrap_or_default()))
    }

    fn set(&mut self, place: u32, value: &V) -> Result<()> {
        ensure!(place < self.size, "no place {place} of {}", self.size);
        self.write(|values| {
            if *value == V::default() {
                values.remove(&place);
            } else {
                values.insert(place, *value);
            }
        })
    }
}

impl<V: Copy + Default + Send> Counters<V> for Part<u32, V> {
    fn of(&self, backends: Range<u32>) -> Result<Vec<V>> {
        self.memory.stored().call()?;
        let all = |values: &mut BTreeMap<u32, V>| {
            backends.map(|id| values.get(&id).copied().unwrap_or_default()).collect()
        };
        Ok(self.with(all))
    }

    fn clear(&mut self, backend: u32) -> Result<()> {
        self.write(|values| values.remove(&backend)).map(|_| ())
    }
}

impl<V: Copy + Default + AddAssign + Send> Handed for Part<u32, V> {
    fn pass(&mut self, from: u32, to: u32) -> Result<()> {
        self.write(|values| {
            if let Some(passed) = values.remove(&from) {
                *values.entry(to).or_default() += passed;
            }
        })
    }

    fn clear(&mut self, backend: u32) -> Result<()> {
        self.write(|values| values.remove(&backend)).map(|_| ())
    }
}

/// Writes cannot fail, like those of mapped memory.
impl Arena for Memory {
    fn read(&self, ring: Ring) -> Vec<u32> {
        self.stored().slots_of(ring)
    }

    fn write(&mut self, offset: u32, slots: &[u32]) {
        self.stored().slots.extend((offset..).zip(slots.iter().copied()));
        self.written();
    }
}
