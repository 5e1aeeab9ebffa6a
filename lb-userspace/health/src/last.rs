//! Last check of an address, for status queries.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::{machine::Doubt, outcome::Outcome};

/// Result of the last check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCheck {
    pub at: Timestamp,
    /// None if it could not be carried out.
    pub success: Option<bool>,
    pub result: String,
    /// The result, its contradiction to the health, and whether the backend is flapping.
    pub detail: String,
    /// Number of consecutive results that contradict the health.
    pub contrary: u32,
    /// Number of such results that change the health.
    pub needed: u32,
}

/// Shared storage for the last check.
#[derive(Clone, Debug, Default)]
pub(super) struct Latest(Arc<Mutex<Option<LastCheck>>>);

impl Latest {
    pub(super) fn put(&self, outcome: &Outcome, detail: String, doubt: Doubt) {
        let Doubt { contrary, needed } = doubt;
        let (at, success, result) = (Timestamp::now(), outcome.success, outcome.detail.clone());
        let check = LastCheck { at, success, result, detail, contrary, needed };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(check);
    }

    pub(super) fn get(&self) -> Option<LastCheck> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
