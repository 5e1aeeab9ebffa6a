//! What the balancer withstands.

#[path = "../end_to_end/bed.rs"]
mod bed;
mod state;
