//! The table of services in the kernel's maps, mapped into memory.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::atomic::{
        AtomicU64,
        Ordering::{Relaxed, Release},
    },
    time::Instant,
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use lb_common::{
    service::{Service, ServiceKey},
    service_table::{FIRST_RECORD, Record, Store, WAYS, entries, find, forget, name, repair},
};
use lb_host::sys::mapping::Mapping;

use crate::{SERVICES, arena::GRACE, mapped::of_array, maps::Table};

/// Name of the map of the index, as records are in [`SERVICES`].
pub const SERVICE_INDEX: &str = "SERVICE_INDEX";

/// Number of 64-bit words in a record.
const RECORD_WORDS: usize = size_of::<Record>() / size_of::<u64>();

/// The table of services.
///
/// A changed service is written to another record, which then takes its word in the index: so a packet
/// reads the whole old service or the whole new one. The former record rests before it is written again,
/// so that a packet can finish reading it, without a version that every packet would have to compare.
pub struct ServiceTable<S = Mapped> {
    store: S,
    free: Vec<u32>,
    /// Since when a record has been unused, oldest first.
    resting: VecDeque<(Instant, u32)>,
}

/// Memory of a table.
pub trait Memory: Store {
    /// Returns the number of records, the unused first ones included.
    fn records(&self) -> u32;

    /// Writes a record that no word of the index names.
    fn set_record(&mut self, number: u32, record: &Record);
}

/// The kernel's maps.
pub struct Mapped {
    index: Mapping<AtomicU64>,
    records: Mapping<AtomicU64>,
}

impl ServiceTable {
    /// Opens the table of a loaded object, as it is.
    ///
    /// # Errors
    ///
    /// Returns an error if the object has no such maps, or they cannot be mapped.
    pub fn open(ebpf: &Ebpf) -> Result<Self> {
        let array = |name: &str| match ebpf.map(name) {
            Some(Map::Array(array)) => Ok(array),
            _ => Err(anyhow::anyhow!("the object has no array {name}")),
        };
        Self::of_maps(array(SERVICE_INDEX)?, array(SERVICES)?)
    }

    /// Opens the table in these maps, as it is.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot be mapped.
    pub fn of_maps(index: &MapData, records: &MapData) -> Result<Self> {
        let index = of_array(index).context("cannot map the index of services")?;
        let records = of_array(records).context("cannot map the services")?;
        Ok(Self::new(Mapped { index, records }))
    }
}

impl<S: Memory> ServiceTable<S> {
    /// Takes a table. Records that the index does not name are free at once: no packet takes as long to
    /// read one as it takes to start a daemon.
    fn new(store: S) -> Self {
        let mut table = Self { store, free: Vec::new(), resting: VecDeque::new() };
        table.find_free();
        table
    }

    fn find_free(&mut self) {
        let named: HashSet<u32> = entries(&self.store).map(|(number, _)| number).collect();
        let records = (FIRST_RECORD..self.store.records()).rev();
        self.free = records.filter(|number| !named.contains(number)).collect();
        self.resting.clear();
    }

    /// Removes what a daemon has left that was killed while it wrote, and damage. Returns the number of
    /// entries of the index that were removed, none of which had led to a service.
    pub fn repair(&mut self) -> u32 {
        let cleared = repair(&mut self.store);
        self.find_free();
        cleared
    }

    /// Returns a service.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<Service> {
        let record = self.store.record(find(&self.store, key)?)?;
        (record.key == *key).then_some(record.service)
    }

    fn insert_at(&mut self, key: &ServiceKey, service: &Service, now: Instant) -> Result<()> {
        if self.get(key) == Some(*service) {
            return Ok(());
        }
        let number = self.take(now).context(
            "no record for a service is free at present: those of the last changes are in a second: try \
             again",
        )?;
        self.store.set_record(number, &Record::new(*key, *service));
        match name(&mut self.store, key, number) {
            Ok(former) => self.rest(former, now),
            Err(_full) => {
                self.free.push(number);
                anyhow::bail!("the table of services has no room here: raise `limits.services`")
            }
        }
        Ok(())
    }

    fn remove_at(&mut self, key: &ServiceKey, now: Instant) {
        let former = forget(&mut self.store, key);
        self.rest(former, now);
    }

    /// Returns a record that no packet reads.
    fn take(&mut self, now: Instant) -> Option<u32> {
        while let Some((since, number)) = self.resting.front().copied() {
            if now.duration_since(since) < GRACE {
                break;
            }
            self.resting.pop_front();
            self.free.push(number);
        }
        self.free.pop()
    }

    fn rest(&mut self, number: Option<u32>, now: Instant) {
        self.resting.extend(number.map(|number| (now, number)));
    }
}

impl<S: Memory + Send> Table<ServiceKey, Service> for ServiceTable<S> {
    fn entries(&self) -> Result<Vec<(ServiceKey, Service)>> {
        let all: BTreeMap<_, _> =
            entries(&self.store).map(|(_, record)| (record.key, record.service)).collect();
        Ok(all.into_iter().collect())
    }

    fn insert(&mut self, key: &ServiceKey, service: &Service) -> Result<()> {
        self.insert_at(key, service, Instant::now())
    }

    fn remove(&mut self, key: &ServiceKey) -> Result<()> {
        self.remove_at(key, Instant::now());
        Ok(())
    }
}

impl Mapped {
    /// Returns the words of a record, or `None` if there are not so many.
    fn words(&self, number: u32) -> Option<&[AtomicU64; RECORD_WORDS]> {
        self.records.values().as_chunks().0.get(number as usize)
    }
}

impl Store for Mapped {
    fn buckets(&self) -> u32 {
        u32::try_from(self.index.values().len()).unwrap_or(u32::MAX) / WAYS
    }

    fn word(&self, place: u32) -> u64 {
        self.index.values()[place as usize].load(Relaxed)
    }

    fn set_word(&mut self, place: u32, word: u64) {
        self.index.values()[place as usize].store(word, Release);
    }

    fn record(&self, number: u32) -> Option<Record> {
        let words = self.words(number)?.each_ref().map(|word| word.load(Relaxed));
        Some(bytemuck::must_cast(words))
    }
}

impl Memory for Mapped {
    fn records(&self) -> u32 {
        u32::try_from(self.records.values().len() / RECORD_WORDS).unwrap_or(u32::MAX)
    }

    fn set_record(&mut self, number: u32, record: &Record) {
        let Some(to) = self.words(number) else { unreachable!("only existing records are free") };
        let words: [u64; RECORD_WORDS] = bytemuck::must_cast(*record);
        to.iter().zip(words).for_each(|(to, word)| to.store(word, Relaxed));
    }
}

#[cfg(test)]
mod tests;
