//! The command line of xdplb, and its demo.

pub mod cli;
mod demo;
