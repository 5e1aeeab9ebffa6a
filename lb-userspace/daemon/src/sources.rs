//! Regions of the array of source addresses: one for each list that a backend uses.

use anyhow::{Result, bail};
use imbl::{OrdMap, Vector};
use lb_common::{limits, snat::Source};

/// First index and length of a list of sources.
pub type Region = (u32, u32);

/// Clones share common parts.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Lists with their first indices: one for each distinct list of an egress interface.
    regions: Vector<(Vec<Source>, u32)>,
    places: OrdMap<u32, Source>,
    end: u32,
}

impl Sources {
    /// Adopts a region that backends already refer to.
    pub fn adopt(&mut self, (first, count): Region, places: &OrdMap<u32, Source>) {
        let list: Vec<_> =
            (first..first + count).filter_map(|at| places.get(&at)).copied().collect();
        self.end = self.end.max(first + count);
        if self.find(&list).is_none() {
            self.add(list, first);
        }
    }

    /// Returns the region of this list. Regions are never changed or freed.
    pub fn region(&mut self, list: &[Source]) -> Result<Region> {
        let count = u32::try_from(list.len())?;
        if let Some(first) = self.find(list) {
            return Ok((first, count));
        }
        if limits::SNAT_SOURCES - self.end < count {
            bail!("no room for more source addresses: there may be {}", limits::SNAT_SOURCES);
        }
        let first = self.end;
        self.end += count;
        self.add(list.to_vec(), first);
        Ok((first, count))
    }

    /// Returns all sources by index.
    #[must_use]
    pub fn places(&self) -> &OrdMap<u32, Source> {
        &self.places
    }

    fn add(&mut self, list: Vec<Source>, first: u32) {
        self.places.extend((first..).zip(list.iter().copied()));
        self.regions.push_back((list, first));
    }

    fn find(&self, list: &[Source]) -> Option<u32> {
        self.regions.iter().find(|(known, _)| known == list).map(|(_, first)| *first)
    }
}
