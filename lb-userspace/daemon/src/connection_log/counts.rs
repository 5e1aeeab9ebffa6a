//! Lines of the log, counted.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

#[derive(Debug, Default)]
pub(super) struct Counts {
    written: AtomicU64,
    left_out: AtomicU64,
    fault: Mutex<Option<String>>,
}

/// What has become of the log since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) written: u64,
    /// Lines that were too many, or could not be written.
    pub(crate) left_out: u64,
    /// Why nothing can be written at present.
    pub(crate) fault: Option<String>,
}

impl Counts {
    pub(super) fn write(&self, lines: u64) {
        self.written.fetch_add(lines, Relaxed);
    }

    pub(super) fn leave_out(&self, lines: u64) {
        self.left_out.fetch_add(lines, Relaxed);
    }

    /// Sets the present fault. Returns the former one.
    pub(super) fn set_fault(&self, fault: Option<String>) -> Option<String> {
        let mut present = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut present, fault)
    }

    pub(super) fn summary(&self) -> Summary {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Summary {
            written: self.written.load(Relaxed),
            left_out: self.left_out.load(Relaxed),
            fault,
        }
    }
}
