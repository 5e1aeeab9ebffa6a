//! `run`: the daemon.

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;
use lb_daemon::{Invocation, OnOtherMaps};

use super::{exit::Failure, output::print_error};

pub(super) async fn run(file: PathBuf, on_other_maps: OnOtherMaps) -> Result<ExitCode, Failure> {
    if lb_config::is_standard_input(&file) {
        return Err(Failure::Usage(anyhow!(
            "the daemon reads its configuration again at each reload: give a file"
        )));
    }
    let loaded = lb_config::load(&file)?;
    for warning in &loaded.warnings {
        print_error(warning);
    }
    Box::pin(lb_daemon::run(loaded, Invocation { file, on_other_maps })).await?;
    Ok(ExitCode::SUCCESS)
}
