//! What xdplb withstands: each test is an attack on the real daemon, in network namespaces.

mod api;
#[path = "../end_to_end/bed.rs"]
mod bed;
mod health;
mod panics;
mod state;
