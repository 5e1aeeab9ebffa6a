//! `detach`: the end of packets.

use std::{path::Path, process::ExitCode};

use super::{exit::Failure, output::print_line};
use crate::dataplane;

pub(super) async fn detach(bpffs: &Path, interfaces: &[String]) -> Result<ExitCode, Failure> {
    for name in dataplane::detach(bpffs, interfaces).await? {
        print_line(&format!("detached from {name}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
