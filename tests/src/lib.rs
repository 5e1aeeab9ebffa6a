//! The harness of the privileged tests: frames to send, and the shipped object to send them
//! through.

pub mod frame;
pub mod object;
