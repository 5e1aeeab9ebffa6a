//! Regions of the arena of source addresses: one for each list that some backend draws from.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use lb_common::{limits, snat::Source};

/// A list of sources, by place.
pub type Region = (u32, u32);

#[derive(Clone, Debug, Default)]
pub struct Sources {
    regions: Vec<(Vec<Source>, u32)>,
    end: u32,
}

impl Sources {
    /// Takes over a region that backends already name.
    pub fn adopt(&mut self, (first, count): Region, places: &BTreeMap<u32, Source>) {
        let list: Vec<_> =
            (first..first + count).filter_map(|at| places.get(&at)).copied().collect();
        self.end = self.end.max(first + count);
        if self.find(&list).is_none() {
            self.regions.push((list, first));
        }
    }

    /// The region that holds this list. Regions are never changed or taken back: there are as many
    /// as egress interfaces have had different lists.
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
        self.regions.push((list.to_vec(), first));
        Ok((first, count))
    }

    /// All sources by place.
    #[must_use]
    pub fn places(&self) -> BTreeMap<u32, Source> {
        let region =
            |(list, first): &(Vec<Source>, u32)| (*first..).zip(list.clone()).collect::<Vec<_>>();
        self.regions.iter().flat_map(region).collect()
    }

    fn find(&self, list: &[Source]) -> Option<u32> {
        self.regions.iter().find(|(known, _)| known == list).map(|(_, first)| *first)
    }
}
