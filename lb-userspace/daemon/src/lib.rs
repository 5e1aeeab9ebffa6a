//! The daemon: one loop that owns the state, and tasks that send it events.

pub mod api;
mod backends;
mod changes;
mod clients;
mod clock;
mod commit;
mod comparison;
pub mod connection_log;
pub mod control;
pub mod counters;
mod daemon;
mod events;
mod explain;
mod failover;
mod files;
mod flows;
mod frame;
mod groups;
mod health;
mod http;
mod ids;
mod interfaces;
mod kernel;
mod kill;
mod macs;
mod memory;
pub mod metrics;
mod network;
mod overview;
mod panics;
mod passive;
mod privileges;
mod reader;
mod refusals;
mod remembered;
mod removed;
mod requests;
mod run;
mod service;
mod snapshot;
mod sources;
mod standing;
mod start;
mod state;
mod submissions;
mod supervisor;
mod sweeps;
mod sync;
mod takeover;
mod tally;
mod trace;
mod transitions;
mod unrouted;
mod variants;
mod viewer;
mod views;
mod vips;
mod warnings;
mod worker;

pub use lb_dataplane::OnOtherMaps;

pub use self::{
    privileges::keep_from_programs,
    run::{Invocation, run},
};

/// Maximum number of events that wait for the loop.
const BACKLOG: usize = 1_024;
