//! Packets through the shipped object: input, output, and the counted reason.

mod accounting;
mod churn;
mod client_hops;
mod closing;
mod concurrency;
mod egress;
mod ends;
mod groups;
mod guard;
mod hammer;
mod jumbo;
mod known;
mod migration;
mod opening;
mod ports;
mod refused;
mod rehearsal;
mod resets;
mod round_trip;
mod scheduling;
mod tcp_stats;
mod testbed;
