//! The flow table, seen from userspace: mapped, counted, listed, and cleared of what has ended.

mod moves;
mod overflow;
mod sweep;
mod table;

pub use self::{
    moves::{Moves, Scope},
    sweep::{Expiry, FlowCounts, Search, States, Sweeper},
    table::{FLOWS, FlowTable, TablePlan, megabytes},
};
