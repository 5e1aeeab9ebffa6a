//! `detach`: end of forwarding.

use std::{path::Path, process::ExitCode};

use serde_json::json;

use super::{
    args::Output,
    exit::Failure,
    output::{print_json, print_line},
};

pub(super) async fn detach(
    bpffs: &Path,
    interfaces: &[String],
    output: Output,
) -> Result<ExitCode, Failure> {
    let detached = lb_dataplane::detach(bpffs, interfaces).await?;
    if output.is_json() {
        print_json(&json!({ "changed": !detached.is_empty(), "detached": detached }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for name in detached {
        print_line(&format!("detached from {name}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
