//! Adoption of the maps of an earlier daemon.

use anyhow::{Context as _, Result};
use imbl::OrdMap;
use lb_common::{address_filter, backend::Backend, limits, snat::Source};
use lb_model::Limits;

use super::writer::MapWriter;
use crate::{
    adoption::{Adopted, Found, judged},
    plan::Image,
};

impl MapWriter {
    /// Reads back the maps, which are empty unless an earlier daemon has left them pinned.
    /// Initializes the maps of the host guard from them, and rewrites this host's addresses.
    pub fn adopt(&mut self, limits: &Limits) -> Result<Adopted> {
        let found = Found {
            services: self.maps.services.entries().context("cannot read the services")?,
            backends: self.found_backends()?,
            sources: self.found_sources()?,
        };
        let adopted = judged(&found, limits, |ring| self.maps.rings.read(ring));
        self.guard_image(&adopted.image)?;
        self.origins_of_image(&adopted.image)?;
        self.write_own_macs()?;
        Ok(adopted)
    }

    /// Adds all addresses of services and sources to the program's filter. Returns true if any were
    /// missing.
    pub fn expect_packets(&mut self, image: &Image) -> Result<bool> {
        let named = image.services.keys().map(|key| key.address);
        let named = named.chain(image.sources.values().map(|source| source.address));
        let words = &self.maps.addresses;
        let mut missing = Vec::new();
        for address in named {
            let (word, bit) = address_filter::bit_of_mapped(address);
            if words.get(word).context("cannot read the addresses")? & bit == 0 {
                missing.push(address);
            }
        }
        let is_missing = !missing.is_empty();
        missing.into_iter().try_for_each(|address| self.expect_packets_for(address))?;
        Ok(is_missing)
    }

    fn found_backends(&self) -> Result<OrdMap<u32, Backend>> {
        let backends = &self.maps.backends;
        let mut found = OrdMap::new();
        for id in limits::FIRST_BACKEND..backends.size() {
            let backend = backends.get(id).context("cannot read the backends")?;
            if backend != Backend::default() {
                found.insert(id, backend);
            }
        }
        Ok(found)
    }

    fn found_sources(&self) -> Result<Vec<Source>> {
        let sources = &self.maps.sources;
        let read = |place| sources.get(place).context("cannot read the sources");
        (0..sources.size()).map(read).collect()
    }
}
