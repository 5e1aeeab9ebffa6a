//! Cells of the tables, which can be sorted and filtered.

use std::{cmp::Ordering, net::SocketAddr};

use lb_host::printable;

use super::figures::short;

pub(super) struct Cell {
    pub(super) text: String,
    value: Value,
}

/// What a cell is sorted by.
enum Value {
    Number(f64),
    Text(String),
    Address(SocketAddr),
    /// A text that changes all the time, which no filter looks at.
    Note(String),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = printable::line(&text.into()).into_owned();
        Self { value: Value::Text(text.to_lowercase()), text }
    }

    pub(super) fn note(text: impl Into<String>) -> Self {
        let text = printable::line(&text.into()).into_owned();
        Self { value: Value::Note(text.to_lowercase()), text }
    }

    pub(super) fn address(address: SocketAddr) -> Self {
        Self { text: address.to_string(), value: Value::Address(address) }
    }

    pub(super) fn number(number: f64, text: impl Into<String>) -> Self {
        Self { text: text.into(), value: Value::Number(number) }
    }

    #[expect(clippy::cast_precision_loss, reason = "sorting needs no more")]
    pub(super) fn count(count: u64) -> Self {
        Self::number(count as f64, count.to_string())
    }

    /// A sum in few characters.
    #[expect(clippy::cast_precision_loss, reason = "sorting needs no more")]
    pub(super) fn sum(sum: u64) -> Self {
        Self::rate(sum as f64)
    }

    pub(super) fn empty() -> Self {
        Self::number(-1.0, "")
    }

    pub(super) fn rate(rate: f64) -> Self {
        Self::number(rate, short(rate))
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (&self.value, &other.value) {
            (Value::Number(one), Value::Number(other)) => one.total_cmp(other),
            (Value::Text(one), Value::Text(other)) | (Value::Note(one), Value::Note(other)) => {
                one.cmp(other)
            }
            (Value::Address(one), Value::Address(other)) => one.cmp(other),
            _ => Ordering::Equal,
        }
    }

    /// Returns true if it is a word or an address with this text, which is in lower case.
    pub(super) fn has(&self, text: &str) -> bool {
        match &self.value {
            Value::Text(own) => own.contains(text),
            Value::Address(_) => self.text.contains(text),
            Value::Number(_) | Value::Note(_) => false,
        }
    }
}
