//! The flow table in userspace: mapping, counting, listing and expiry.

mod accounts;
mod moves;
mod sweep;
mod table;

pub use self::{
    accounts::{ACCOUNTS, Accounts},
    moves::{Moves, Scope},
    sweep::{Expiry, FlowCounts, Search, States, Sweeper},
    table::{BACKENDS, CLIENT_HOPS, FLOWS, FlowTable, TablePlan, megabytes},
};
