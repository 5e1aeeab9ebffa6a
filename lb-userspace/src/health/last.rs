//! The last check of an address, for whoever looks at it.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::{machine::Doubt, probe::Outcome};

/// The result of the last check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCheck {
    pub at: Timestamp,
    /// Nothing if it could not be carried out.
    pub success: Option<bool>,
    pub result: String,
    /// The result, how far it contradicts the health, and whether the backend goes up and down.
    pub detail: String,
    /// Results in a row that contradict the health.
    pub contrary: u32,
    /// How many of them change it.
    pub needed: u32,
}

/// A place for it.
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
