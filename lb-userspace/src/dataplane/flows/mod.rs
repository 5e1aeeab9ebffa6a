//! The flow table, seen from userspace: mapped, counted, listed, and cleared of what has ended.

mod overflow;
mod sweep;
mod table;

pub use self::{
    sweep::{Census, Expiry, Move, States, Sweeper},
    table::{FLOWS, FlowTable, Plan, megabytes, now},
};
