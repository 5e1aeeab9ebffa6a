//! What xdplb withstands: the list of attacks and mishaps, each with a test.

mod api;
#[path = "../end_to_end/bed.rs"]
mod bed;
mod downloads;
mod guard;
mod panics;
mod state;
