//! Packets and bytes of each flow, in an array beside the flow table.

use anyhow::{Context as _, Result, bail};
use aya::maps::Map;
use lb_common::{stats::Count, table::Index};

use crate::mapped::Past;

/// Name of the array, by the index of an entry of the flow table.
pub const ACCOUNTS: &str = "ACCOUNTS";

/// The accounts, which the program adds to by locked operations.
#[derive(Debug)]
pub struct Accounts(Past<Count>);

impl Accounts {
    /// Returns None if nothing is accounted: then the map has one value.
    pub(super) fn open(map: &Map) -> Result<Option<Self>> {
        let Map::Array(array) = map else { bail!("{ACCOUNTS} is not an array") };
        let counts = Past::of_array(array).with_context(|| format!("cannot map {ACCOUNTS}"))?;
        Ok((counts.size() > 1).then_some(Self(counts)))
    }

    #[must_use]
    pub fn of(&self, index: Index) -> Count {
        self.0.of(index.0)
    }

    pub fn clear(&self, index: Index) {
        self.0.set(index.0, &Count::default());
    }

    /// Moves what has been accounted to the account of the same flow in another table.
    pub fn pass(&self, index: Index, to: &Self, index_there: Index) {
        self.0.pass(index.0, &to.0, index_there.0);
    }
}
