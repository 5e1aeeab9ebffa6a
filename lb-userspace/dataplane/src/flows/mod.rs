//! The flow table in userspace: mapping, counting, listing and expiry.

mod accounts;
mod memory;
mod moves;
mod sweep;
mod table;

pub use self::{
    accounts::{ACCOUNTS, Accounts},
    memory::{flow_bytes, megabytes},
    moves::{Moves, Scope},
    sweep::{Expiry, FlowCounts, Search, States, Sweeper},
    table::{BACKENDS, CLIENT_HOPS, FLOWS, FlowTable, TablePlan},
};
