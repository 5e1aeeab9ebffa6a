//! Memory of the flow table and of the accounts of its flows.

use lb_common::{
    stats::Count,
    table::{WAYS, buckets_for, table_bytes},
};
use lb_model::Limits;

/// Returns the bytes of the flow table with these limits, and of its accounts if there are any.
#[must_use]
pub fn flow_bytes(limits: &Limits) -> u64 {
    let accounts = if limits.accounting { account_bytes(limits.flows) } else { 0 };
    table_bytes(limits.flows) + accounts
}

fn account_bytes(connections: u32) -> u64 {
    u64::from(buckets_for(connections)) * u64::from(WAYS) * size_of::<Count>() as u64
}

/// Converts the size of a table in bytes to megabytes, for messages.
#[must_use]
pub fn megabytes(bytes: u64) -> u64 {
    ((bytes + 500_000) / 1_000_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TablePlan;

    #[test]
    fn accounts_take_half_as_much_as_their_flows() {
        let plain = Limits { flows: 1_000_000, ..Limits::default() };
        let accounted = Limits { accounting: true, ..plain };
        assert_eq!([&plain, &accounted].map(|of| megabytes(flow_bytes(of))), [96, 144]);
        let table = TablePlan::new(plain.flows).expect("a plan").accounting(true);
        let bytes = u64::from(table.accounts()) * size_of::<Count>() as u64;
        assert_eq!(flow_bytes(&accounted) - flow_bytes(&plain), bytes);
    }
}
