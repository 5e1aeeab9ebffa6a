//! Regions of the arena of source addresses: one for each list that some backend draws from.

use anyhow::{Result, bail};
use imbl::{OrdMap, Vector};
use lb_common::{limits, snat::Source};

/// A list of sources, by place.
pub type Region = (u32, u32);

/// Copies share what they have in common.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Lists, and where they begin: as many as egress interfaces have had different ones.
    regions: Vector<(Vec<Source>, u32)>,
    places: OrdMap<u32, Source>,
    end: u32,
}

impl Sources {
    /// Takes over a region that backends already name.
    pub fn adopt(&mut self, (first, count): Region, places: &OrdMap<u32, Source>) {
        let list: Vec<_> =
            (first..first + count).filter_map(|at| places.get(&at)).copied().collect();
        self.end = self.end.max(first + count);
        if self.find(&list).is_none() {
            self.add(list, first);
        }
    }

    /// The region that holds this list. Regions are never changed or taken back.
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

    /// All sources by place.
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
