//! System calls that no library wraps: the only unsafe code of the control plane.

pub(crate) mod bpf;
pub(crate) mod ethtool;
pub(crate) mod heap;
pub(crate) mod mapping;
pub(crate) mod program;
