//! How far a search has come.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use lb_common::table::WAYS;

use super::Listing;

/// Number of entries that a listing's search has passed.
#[derive(Debug, Default)]
pub struct Swept(AtomicU32);

impl Swept {
    pub(super) fn pass(&self, index: u32) {
        self.0.store(index, Relaxed);
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed).into()
    }
}

impl Listing {
    /// Returns how far its search has come, as long as that goes on.
    #[must_use]
    pub fn swept(&self) -> &Arc<Swept> {
        &self.swept
    }

    /// Returns the number of entries that its search has to pass.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.flows.table().buckets.len() as u64 * u64::from(WAYS)
    }
}
