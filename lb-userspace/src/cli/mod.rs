//! The command line: arguments and verbs.

mod args;
mod backend;
mod changed;
mod check;
mod complete;
mod conns;
mod desired;
mod detach;
mod doctor;
mod documents;
mod exit;
mod explain;
mod hint;
mod log;
mod manual;
mod output;
mod pair;
mod patience;
mod run;
mod service;
mod stats;
mod status;
mod top;
mod trace;
mod value;

use std::{env, process::ExitCode};

use clap::Parser as _;
use lb_client::Client;
use lb_daemon::OnOtherMaps;
use tokio::runtime;

pub use self::args::Cli;
use self::{
    args::{Trial, Verb},
    exit::Failure,
};
pub(crate) use self::{
    conns::span,
    output::{age, count},
    service::{last_check, standing},
};
use crate::demo;

/// Parses the arguments, runs the verb and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    complete::answer();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut error) => {
            hint::add(&mut error, env::args_os().skip(1));
            return exit::usage(&error);
        }
    };
    let output = cli.output;
    log::start(&cli);
    match start(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(output),
    }
}

fn start(cli: Cli) -> Result<ExitCode, Failure> {
    if matches!(cli.verb, Verb::Run { check: false, .. }) {
        lb_daemon::keep_from_programs()?;
    }
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(anyhow::Error::from)?;
    let done = runtime.block_on(carry_out(cli));
    // A look-up of a name may take long.
    runtime.shutdown_background();
    done
}

async fn carry_out(cli: Cli) -> Result<ExitCode, Failure> {
    let client = Client::new(cli.socket);
    let output = cli.output;
    match cli.verb {
        Verb::Run { config, check: false, no_migrate } => {
            let on_other_maps = if no_migrate { OnOtherMaps::Refuse } else { OnOtherMaps::Migrate };
            Box::pin(run::run(config, on_other_maps)).await
        }
        Verb::Run { config, check: true, .. } => check::check(&config, false, output),
        Verb::Check { config: Some(config), strict, .. } => check::check(&config, strict, output),
        Verb::Check { config: None, .. } => check::schema(),
        Verb::Detach { interfaces, bpffs } => detach::detach(&bpffs, &interfaces, output).await,
        Verb::Doctor { config } => doctor::doctor(&client, config.as_deref(), output).await,
        Verb::Status => status::status(&client, output).await,
        Verb::Stats { service, rate } => {
            stats::stats(&client, service.as_deref(), rate, output).await
        }
        Verb::Explain(packet) => explain::explain(&client, &packet.query(), output).await,
        Verb::Top { interval } => top::top(client, interval).await,
        Verb::Trace(packets) => trace::trace(&client, packets, output).await,
        Verb::Conns(conns) => conns::conns(&client, conns, output).await,
        Verb::Service { verb } => service::change(client, verb, output).await,
        Verb::Diff { config, force, .. } => {
            desired::diff(&client.forcing(force), &config, output).await
        }
        Verb::Apply { config, force, trial: Trial { dry_run } } => {
            let client = client.forcing(force).trying(dry_run);
            desired::apply(&client, &config, output).await
        }
        Verb::Export => desired::export(&client, output).await,
        Verb::History { number } => desired::history(&client, number, output).await,
        Verb::Rollback { number, force, trial: Trial { dry_run } } => {
            let client = client.forcing(force).trying(dry_run);
            desired::rollback(&client, number, output).await
        }
        Verb::Pair { verb } => pair::pair(&client, verb, output).await,
        Verb::Backend { verb } => backend::change(client, verb, output).await,
        Verb::Demo { stop: Some(named), .. } => Ok(demo::stop(named.as_deref(), output.is_json())?),
        Verb::Demo { keep, .. } => Ok(demo::run(keep, output.is_json()).await?),
        Verb::Respond { name, address } => {
            demo::respond(&name, address).await?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Completions { shell } => documents::print_completions(shell),
        Verb::Man { verb } => documents::show_manual(&verb),
        Verb::Documents { directory } => documents::write(&directory),
    }
}
