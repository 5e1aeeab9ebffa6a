//! `xdplb`: daemon and command line in one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    lb_userspace::cli::main()
}
