//! What xdplb withstands: each test is an attack on the real daemon, in network namespaces, or on the
//! shipped packet path.

mod api;
#[path = "../end_to_end/bed.rs"]
mod bed;
mod packets;
mod panics;
mod state;
