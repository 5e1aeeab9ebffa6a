//! What people and tools see of the balancer.

mod contrib;
mod explain;
mod http;
mod metrics;
mod page;
mod trace;
mod watched;
