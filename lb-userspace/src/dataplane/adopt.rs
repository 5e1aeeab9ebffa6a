//! What a former daemon has left in the maps.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap};
use imbl::OrdMap;
use lb_common::{
    backend::Backend,
    limits,
    schedule::Scheduler,
    service::{Service, ServiceKey},
    snat::Source,
};

use super::{BACKENDS, Dataplane, SERVICES, SNAT_SOURCES};
use crate::plan::{Image, ServiceImage, Wanted};

/// The maps as they were found.
pub type Adopted = Image;

impl Dataplane {
    /// Reads the maps back: empty, unless a former daemon has left them pinned. The host guard knows
    /// afterwards what they hold.
    pub fn adopt(&mut self) -> Result<Adopted> {
        let services = self.adopt_services()?;
        let backends = self.adopt_backends()?;
        let sources = self.adopt_sources(&backends)?;
        let image = Image { services, backends, sources };
        self.guard_image(&image)?;
        Ok(image)
    }

    fn adopt_services(&self) -> Result<OrdMap<ServiceKey, ServiceImage>> {
        let services: HashMap<_, ServiceKey, Service> = self.map(SERVICES)?.try_into()?;
        let mut adopted = OrdMap::new();
        for entry in &services {
            let (key, service) = entry.context("cannot read the services")?;
            let Service { ring, id, scheduler } = service;
            let scheduler = Scheduler::from_number(scheduler);
            let slots = self.rings.read(ring).into();
            adopted.insert(key, ServiceImage { ring, wanted: Wanted { id, scheduler, slots } });
        }
        Ok(adopted)
    }

    fn adopt_backends(&self) -> Result<OrdMap<u32, Backend>> {
        let backends: Array<_, Backend> = self.map(BACKENDS)?.try_into()?;
        let mut adopted = OrdMap::new();
        for id in limits::FIRST_BACKEND..backends.len() {
            let backend = backends.get(&id, 0).context("cannot read the backends")?;
            if backend != Backend::default() {
                adopted.insert(id, backend);
            }
        }
        Ok(adopted)
    }

    fn adopt_sources(&self, backends: &OrdMap<u32, Backend>) -> Result<OrdMap<u32, Source>> {
        let sources: Array<_, Source> = self.map(SNAT_SOURCES)?.try_into()?;
        let named: BTreeSet<u32> = backends
            .values()
            .flat_map(|backend| backend.sources..backend.sources + backend.source_count)
            .collect();
        named
            .into_iter()
            .map(|place| Ok((place, sources.get(&place, 0).context("cannot read the sources")?)))
            .collect()
    }
}
