//! The demo: a whole load balancer in network namespaces.

pub mod responder;
