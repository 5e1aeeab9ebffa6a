//! System calls that no library wraps: the only unsafe code of the control plane.

pub mod bpf;
pub mod clock;
pub mod ethtool;
pub mod heap;
pub mod mapping;
pub mod packet;
pub mod program;
