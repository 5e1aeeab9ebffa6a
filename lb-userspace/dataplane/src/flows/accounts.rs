//! Packets and bytes of each flow, in an array beside the flow table.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context as _, Result, bail};
use aya::maps::Map;
use lb_common::{stats::Count, table::Index};
use lb_host::sys::mapping::Mapping;

use crate::mapped;

/// Name of the array, by the index of an entry of the flow table.
pub const ACCOUNTS: &str = "ACCOUNTS";

/// The accounts, two words each: packets and bytes.
#[derive(Debug)]
pub struct Accounts(Mapping<AtomicU64>);

impl Accounts {
    /// Returns None if nothing is accounted: then the map has one value.
    pub(super) fn open(map: &Map) -> Result<Option<Self>> {
        let Map::Array(array) = map else { bail!("{ACCOUNTS} is not an array") };
        let words = mapped::of_array(array).with_context(|| format!("cannot map {ACCOUNTS}"))?;
        let accounts = Self(words);
        Ok((accounts.0.values().len() > WORDS).then_some(accounts))
    }

    #[must_use]
    pub fn of(&self, index: Index) -> Count {
        let [packets, bytes] = self
            .words(index)
            .map_or([0; 2], |words| [words[0].load(Relaxed), words[1].load(Relaxed)]);
        Count { packets, bytes }
    }

    pub fn clear(&self, index: Index) {
        self.words(index).into_iter().flatten().for_each(|word| word.store(0, Relaxed));
    }

    /// Moves what has been accounted to the account of the same flow in another table.
    pub fn pass(&self, index: Index, to: &Self, index_there: Index) {
        if let (Some(from), Some(to)) = (self.words(index), to.words(index_there)) {
            for (from, to) in from.iter().zip(to) {
                to.fetch_add(from.swap(0, Relaxed), Relaxed);
            }
        }
    }

    fn words(&self, index: Index) -> Option<&[AtomicU64]> {
        let first = index.0 as usize * WORDS;
        self.0.values().get(first..first + WORDS)
    }
}

const WORDS: usize = size_of::<Count>() / size_of::<u64>();
