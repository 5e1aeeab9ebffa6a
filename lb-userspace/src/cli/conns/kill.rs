//! `conns --kill`.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::anyhow;
use lb_client::{Client, ClientError};
use lb_model::connections::{ConnectionState, Filter, Kill};

use super::super::{
    args::{End, Output},
    exit::Failure,
    output::{count, print_error, print_json, print_line},
    patience::searching,
};

pub(super) async fn kill(
    client: &Client,
    mut filter: Filter,
    End { yes, all, .. }: End,
    output: Output,
) -> Result<(), Failure> {
    if filter.admits_all() && !all {
        let hint = "--kill needs a filter, as in --client 198.51.100.7, or --all";
        return Err(Failure::Usage(anyhow!(hint)));
    }
    if filter.state.is_empty() {
        filter.state = ConnectionState::OPEN.to_vec();
    }
    let counts = searching(client, output, client.count_connections(&filter)).await?;
    let open = counts.total - counts.closed;
    let is_agreed = open <= 1 || yes || confirm(open)?;
    let done = if is_agreed {
        searching(client, output, client.kill_connections(&filter)).await.map_err(broken_off)?
    } else {
        Kill::default()
    };
    if output.is_json() {
        return Ok(print_json(&done)?);
    }
    let Kill { killed, warnings } = done;
    print_line(&format!("{} killed", count(killed, "connection")))?;
    for warning in warnings {
        print_error(format_args!("warning: {warning}"));
    }
    Ok(())
}

/// Says what an answer that has not come leaves open.
fn broken_off(error: ClientError) -> Failure {
    match error {
        ClientError::Broken(error) => Failure::Operation(error.context(
            "some connections may have been killed: `xdplb conns --count` shows what is left",
        )),
        other => other.into(),
    }
}

fn confirm(open: u64) -> Result<bool, Failure> {
    let connections = count(open, "connection");
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(anyhow!("{connections} match: add --yes to kill all of them")));
    }
    let mut out = io::stderr().lock();
    write!(out, "Kill {connections}? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
