//! What people and tools see of the balancer.

mod connection_log;
mod contrib;
mod doctor;
mod explain;
mod handshakes;
mod http;
mod metrics;
mod notify;
mod page;
mod progress;
mod scrape;
mod top;
mod trace;
mod watched;
