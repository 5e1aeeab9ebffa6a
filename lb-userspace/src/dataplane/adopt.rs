//! What a former daemon has left in the maps.

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap};
use imbl::OrdMap;
use lb_common::{
    address_filter,
    backend::Backend,
    limits,
    service::{Service, ServiceKey},
    snat::Source,
};

use super::{BACKENDS, Dataplane, SERVICES, SNAT_SOURCES, VIP_FILTER};
use crate::{
    adoption::{Adopted, Found, judged},
    config::Limits,
    plan::Image,
};

impl Dataplane {
    /// Reads the maps back: empty, unless a former daemon has left them pinned. The host guard knows
    /// afterwards what they hold.
    pub fn adopt(&mut self, limits: &Limits) -> Result<Adopted> {
        let found = Found {
            services: self.found_services()?,
            backends: self.found_backends()?,
            sources: self.found_sources()?,
        };
        let adopted = judged(&found, limits, |ring| self.rings.read(ring));
        self.guard_image(&adopted.image)?;
        self.origins_of_image(&adopted.image)?;
        Ok(adopted)
    }

    /// Has the program look for all that the maps name. Returns whether it did not.
    pub fn expect_packets(&mut self, image: &Image) -> Result<bool> {
        let named = image.services.keys().map(|key| key.address);
        let named = named.chain(image.sources.values().map(|source| source.address));
        let words: Array<_, u64> = self.map(VIP_FILTER)?.try_into()?;
        let mut missing = Vec::new();
        for address in named {
            let (word, bit) = address_filter::bit_of_mapped(address);
            if words.get(&word, 0).context("cannot read the addresses")? & bit == 0 {
                missing.push(address);
            }
        }
        let is_missing = !missing.is_empty();
        missing.into_iter().try_for_each(|address| self.expect_packets_for(address))?;
        Ok(is_missing)
    }

    fn found_services(&self) -> Result<Vec<(ServiceKey, Service)>> {
        let services: HashMap<_, ServiceKey, Service> = self.map(SERVICES)?.try_into()?;
        let entries = services.iter().map(|entry| entry.context("cannot read the services"));
        entries.collect()
    }

    fn found_backends(&self) -> Result<OrdMap<u32, Backend>> {
        let backends: Array<_, Backend> = self.map(BACKENDS)?.try_into()?;
        let mut found = OrdMap::new();
        for id in limits::FIRST_BACKEND..backends.len() {
            let backend = backends.get(&id, 0).context("cannot read the backends")?;
            if backend != Backend::default() {
                found.insert(id, backend);
            }
        }
        Ok(found)
    }

    fn found_sources(&self) -> Result<Vec<Source>> {
        let sources: Array<_, Source> = self.map(SNAT_SOURCES)?.try_into()?;
        let read = |place| sources.get(&place, 0).context("cannot read the sources");
        (0..sources.len()).map(read).collect()
    }
}
