//! One sample, encoded once for all viewers.

use std::sync::OnceLock;

use axum::body::Bytes;
use serde_json::Value;

use super::patch;

pub(super) struct Frame {
    number: u64,
    document: Value,
    /// Difference from the sample before.
    change: Bytes,
    whole: OnceLock<Bytes>,
}

impl Frame {
    /// Makes the frame that follows another one.
    pub(super) fn new(number: u64, document: Value, before: Option<&Value>) -> Self {
        let change = before.and_then(|before| patch::between(before, &document));
        let change = event("change", &change.unwrap_or_default());
        Self { number, document, change, whole: OnceLock::new() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn document(&self) -> &Value {
        &self.document
    }

    /// Returns the event for a viewer that has this frame: only what has changed if that is the one before.
    pub(super) fn after(&self, sent: Option<u64>) -> Bytes {
        if sent.is_some_and(|sent| sent + 1 == self.number) {
            return self.change.clone();
        }
        self.whole.get_or_init(|| event("whole", &self.document)).clone()
    }
}

/// Returns a server-sent event. JSON is a single line.
fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}
