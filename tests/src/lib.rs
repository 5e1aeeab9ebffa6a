//! The harness of the privileged tests: frames for the shipped object, and testbeds with real
//! servers and clients for the whole balancer.

pub mod balancer;
pub mod browser;
pub mod console;
pub mod conversations;
pub mod downloads;
pub mod frame;
pub mod guarded;
pub mod object;
pub mod processes;
pub mod requests;
pub mod servers;
pub mod site;

/// Environment variable that `cargo xtask test --long` sets for tests with a longer variant.
pub const LONG: &str = "XDPLB_LONG_TESTS";
