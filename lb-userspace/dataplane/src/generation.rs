//! The generation of the maps, so that a reader on another thread notices that they have changed under
//! it.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst, fence};

/// Odd while the maps are being changed.
#[derive(Debug, Default)]
pub struct Generation(AtomicU64);

impl Generation {
    /// Tells readers of a change before any word of it is written.
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, SeqCst);
        fence(SeqCst);
    }

    pub(crate) fn end(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    /// Returns the present generation: after whatever was read before.
    #[must_use]
    pub fn number(&self) -> u64 {
        fence(SeqCst);
        self.0.load(SeqCst)
    }
}
