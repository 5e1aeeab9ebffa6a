//! What people and tools see of the balancer.

mod contrib;
mod explain;
mod http;
mod metrics;
mod trace;
mod top;
mod watched;
