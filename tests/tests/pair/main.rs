//! Two balancers with the same services, each of which is active for some groups of addresses.

mod changes;
mod fence;
mod keepalived;
mod pair;
mod roles;
