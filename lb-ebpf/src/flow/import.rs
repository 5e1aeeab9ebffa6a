//! Connections of another table.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    halves::{high, join, low, low16},
    table::{self, Import},
};

use super::map::Flows;
use crate::global::global;

/// Takes over a connection. Returns it with the result.
#[inline(always)]
pub(crate) fn import(import: Import) -> Import {
    let [client, server] = import.pair;
    let numbers = join(import.number, import.other);
    let rest = join(import.last_seen, import.seen.into());
    Import { result: low16(flow_import(client, server, numbers, rest)), ..import }
}

global! {
    fn flow_import(client: u64, server: u64, numbers: u64, rest: u64) -> u32 {
        let import = Import {
            pair: [client, server],
            last_seen: low(rest),
            number: low(numbers),
            other: high(numbers),
            seen: low16(high(rest)),
            result: 0,
        };
        table::import(Flows, &import, super::now()) as u32
    }
}
