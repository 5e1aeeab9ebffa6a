//! Packets through the shipped object: what goes in, what comes out, and what was said of it.

mod closing;
mod concurrency;
mod egress;
mod guard;
mod hammer;
mod jumbo;
mod known;
mod opening;
mod ports;
mod refused;
mod resets;
mod round_trip;
mod scheduling;
mod testbed;
