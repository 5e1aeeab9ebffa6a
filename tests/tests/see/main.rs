//! What people and tools see of the balancer.

mod contrib;
mod http;
mod metrics;
mod watched;
