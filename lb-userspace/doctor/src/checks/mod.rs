//! The checks: pure functions of the facts.

pub(super) mod backends;
pub(super) mod daemon;
mod drivers;
pub(super) mod interfaces;
pub(super) mod machine;
pub(super) mod queues;
pub(super) mod sources;
pub(super) mod storage;
pub(super) mod traffic;
pub(super) mod veth;
pub(super) mod vips;
pub(super) mod xdp;

#[cfg(test)]
mod made;

use std::fmt::Display;

use super::{facts::MOST_ASKED, report::Cases};

/// Items that a message names at most.
const MOST_NAMED: usize = 3;

/// Names some items, as in `a, b, c and 4 more`.
fn some_of<T: Display>(items: &[T]) -> String {
    let named: Vec<_> = items.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    match items.len().saturating_sub(MOST_NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// Adds how many addresses were not asked for by ARP, if any.
fn skip_unasked(kind: &str, unasked: usize, cases: &mut Cases<'_>) {
    if unasked > 0 {
        let reason =
            format!("{unasked} addresses were not asked for by ARP: at most {MOST_ASKED} are");
        cases.skip(kind, &reason);
    }
}
