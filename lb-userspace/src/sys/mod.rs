//! The only raw system calls of the control plane.

pub mod bpf;
