//! The flow table in userspace: mapping, counting, listing and expiry.

mod accounts;
mod ended;
mod memory;
mod moves;
mod sweep;
mod table;

pub(crate) use self::ended::ended;
pub use self::{
    accounts::{ACCOUNTS, Accounts},
    ended::Ends,
    memory::{flow_bytes, megabytes},
    moves::{Moves, Scope},
    sweep::{Expiry, FlowCounts, Search, States, Sweeper},
    table::{BACKENDS, CLIENT_HOPS, FLOWS, FlowTable, TablePlan},
};
