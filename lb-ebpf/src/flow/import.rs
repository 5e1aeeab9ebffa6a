//! Connections of another table.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    halves::{high, high16, join, join16, low, low16},
    table::{self, Import},
};

use super::map::Flows;
use crate::global::global;

/// Takes over a connection. Returns it with the result.
#[inline(always)]
pub(crate) fn import(import: Import) -> Import {
    let [client, server] = import.pair;
    let numbers = join(import.number, import.other);
    let rest = join(import.last_seen, join16(import.seen, import.before));
    let result = low16(flow_import(client, server, numbers, rest, import.is_told.into()));
    Import { result, ..import }
}

global! {
    fn flow_import(client: u64, server: u64, numbers: u64, rest: u64, is_told: u32) -> u32 {
        let import = Import {
            pair: [client, server],
            last_seen: low(rest),
            number: low(numbers),
            other: high(numbers),
            seen: low16(high(rest)),
            before: high16(high(rest)),
            is_told: low16(is_told),
            ..Import::default()
        };
        table::import(Flows, &import, super::now()) as u32
    }
}
