//! Keeps the host guard's maps in sync with those of the balancer.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use lb_common::{service::ServiceKey, snat::Source};

use super::{Index, index::Change};
use crate::{
    maps::Address,
    plan::{Image, Op},
    writer::MapWriter,
};

const CANNOT_WRITE: &str = "cannot write to the host guard's maps";

impl MapWriter {
    /// Initializes the guard's maps from the balancer's maps.
    pub(crate) fn guard_image(&mut self, image: &Image) -> Result<()> {
        let mut index = Index::default();
        for key in image.services.keys() {
            index.set_service(key);
        }
        for (id, backend) in &image.backends {
            index.set_backend(*id, backend);
        }
        for source in self.all_sources()? {
            index.set_source(&source);
        }
        self.write_guard_maps(&index).context(CANNOT_WRITE)?;
        self.guarded = index;
        Ok(())
    }

    /// Applies an operation to the guard's maps.
    pub(crate) fn guard_op(&mut self, op: &Op) -> Result<()> {
        let index = &mut self.guarded;
        let changes = match op {
            Op::SetSource { source, .. } => [index.set_source(source), None],
            Op::SetBackend { id, backend } => index.set_backend(*id, backend),
            Op::ClearBackend { id } => [index.clear_backend(*id), None],
            Op::SetService { key, .. } => [index.set_service(key), None],
            Op::RemoveService { key } => [index.remove_service(key), None],
            Op::WriteSlots { .. }
            | Op::PassTraffic { .. }
            | Op::KeepTraffic { .. }
            | Op::ClearKept { .. } => [None; 2],
        };
        changes.into_iter().flatten().try_for_each(|change| self.write_guard(change))
    }

    fn write_guard(&mut self, change: Change) -> Result<()> {
        let (addresses, backends) = (&mut self.maps.guard_addresses, &mut self.maps.guard_backends);
        match change {
            Change::Address(address, guarded) => addresses.insert(&address, &guarded),
            Change::ForgetAddress(address) => addresses.remove(&address),
            Change::Backend(key) => backends.insert(&key, &0),
            Change::ForgetBackend(key) => backends.remove(&key),
        }
        .context(CANNOT_WRITE)
    }

    /// Sets the guard's maps to the content of an index: removes entries before it adds any, to
    /// have room.
    fn write_guard_maps(&mut self, index: &Index) -> Result<()> {
        let (addresses, backends) = (index.addresses(), index.backends());
        let map = &mut self.maps.guard_addresses;
        let known: BTreeSet<Address> = map.entries()?.into_iter().map(|(key, _)| key).collect();
        let stale = known.iter().filter(|one| !addresses.contains_key(*one));
        stale.into_iter().try_for_each(|one| map.remove(one))?;
        addresses.iter().try_for_each(|(address, guarded)| map.insert(address, guarded))?;
        let map = &mut self.maps.guard_backends;
        let known: BTreeSet<ServiceKey> = map.entries()?.into_iter().map(|(key, _)| key).collect();
        known.difference(&backends).try_for_each(|key| map.remove(key))?;
        backends.difference(&known).try_for_each(|key| map.insert(key, &0))
    }

    /// Returns all sources ever used, as connections may still use them.
    fn all_sources(&self) -> Result<Vec<Source>> {
        let sources = &self.maps.sources;
        (0..sources.size()).map(|place| sources.get(place)).collect()
    }
}
