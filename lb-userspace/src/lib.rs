//! The command line of xdplb, its demo, and `top`.

pub mod cli;
mod demo;
mod top;
