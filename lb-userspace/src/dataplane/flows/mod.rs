//! The flow table in userspace: mapping, counting, listing and expiry.

mod moves;
mod overflow;
mod sweep;
mod table;

pub use self::{
    moves::{Moves, Scope},
    sweep::{Expiry, FlowCounts, Search, States, Sweeper},
    table::{FLOWS, FlowTable, TablePlan, megabytes},
};
