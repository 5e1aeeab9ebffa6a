//! How far a search has come, and whether it goes on.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use lb_common::table::WAYS;

use super::Listing;

/// Number of entries that a listing's search has passed.
#[derive(Debug, Default)]
pub struct Swept {
    count: AtomicU32,
    is_abandoned: AtomicBool,
}

/// Ends a search early when it is dropped.
#[derive(Debug)]
pub struct Wanted(Weak<Swept>);

impl Swept {
    /// Returns false if nobody waits for the search any more.
    pub(super) fn pass(&self, index: u32) -> bool {
        self.count.store(index, Relaxed);
        !self.is_abandoned.load(Relaxed)
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed).into()
    }
}

impl Wanted {
    pub(super) fn new(swept: &Arc<Swept>) -> Self {
        Self(Arc::downgrade(swept))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        if let Some(swept) = self.0.upgrade() {
            swept.is_abandoned.store(true, Relaxed);
        }
    }
}

impl Listing {
    /// Returns how far its search has come, as long as that goes on.
    #[must_use]
    pub fn swept(&self) -> &Arc<Swept> {
        &self.swept
    }

    /// Returns what keeps its search going: a search without a reader ends.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted::new(&self.swept)
    }

    /// Returns the number of entries that its search has to pass.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.flows.table().buckets.len() as u64 * u64::from(WAYS)
    }
}
