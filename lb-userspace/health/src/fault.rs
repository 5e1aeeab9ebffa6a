//! Errors in the configuration of a check.

/// An error in a check, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub key: &'static str,
    pub message: String,
    pub fix: &'static str,
    /// Set if the key is missing.
    pub is_missing: bool,
}

impl Fault {
    pub(super) fn new(key: &'static str, message: &impl ToString) -> Self {
        Self { key, message: message.to_string(), fix: "", is_missing: false }
    }

    pub(super) fn missing(key: &'static str, message: &impl ToString) -> Self {
        Self { is_missing: true, ..Self::new(key, message) }
    }

    pub(super) fn fix(self, fix: &'static str) -> Self {
        Self { fix, ..self }
    }
}
