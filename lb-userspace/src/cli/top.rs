//! `top`: the balancer, live in a terminal.

use std::{
    env,
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::anyhow;
use lb_client::Client;

use super::exit::Failure;
use crate::top::{self, Reading};

pub(super) async fn top(client: Client, interval: Duration) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() {
        let hint = "standard output is no terminal: use `xdplb stats --rate -o json`";
        return Err(Failure::Usage(anyhow!(hint)));
    }
    if env::var_os("TERM").is_none_or(|terminal| terminal == "dumb") {
        let hint = "the terminal cannot move its cursor: set TERM, or use `xdplb stats --rate`";
        return Err(Failure::Usage(anyhow!(hint)));
    }
    let first = Reading::first(&client).await?;
    top::run(client, first, interval).await?;
    Ok(ExitCode::SUCCESS)
}
