//! Shell completions.

use std::{collections::BTreeSet, env, ffi::OsString, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCandidates, CompletionCandidate},
    env::Shells,
};
use nix::net::if_::if_nameindex;
use tokio::{runtime, time::timeout};

use super::args::{Cli, SOCKET_VARIABLE};
use crate::{
    DEFAULT_SOCKET,
    api::{Client, ClientError},
    config::reference,
    control::ServiceView,
};
use lb_host::printable;

/// Environment variable with the name of the shell that requests completions.
const VARIABLE: &str = "XDPLB_COMPLETE";

/// Timeout of requests for names, as the user waits.
const PATIENCE: Duration = Duration::from_millis(500);

/// Answers a shell's request for completions and exits.
pub(super) fn answer() {
    CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .bin("xdplb")
        .completer("xdplb")
        .complete();
}

/// Returns the script for the start of a shell.
pub(super) fn script(shell: Shell) -> Result<String> {
    let name = shell.to_string();
    let shell = Shells::builtins();
    let shell = shell.completer(&name).with_context(|| format!("no completions for {name}"))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "xdplb", "xdplb", "xdplb", &mut script)?;
    Ok(String::from_utf8(script)?)
}

/// Completes the values of an enumerated key of the file.
pub(super) fn words(key: &'static str) -> ArgValueCandidates {
    ArgValueCandidates::new(move || candidates(reference::words(key)))
}

pub(super) fn services() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(known_services().into_iter().map(|one| one.name)))
}

/// Completes backends of the services on the command line, or of all services.
pub(super) fn backends() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let addresses: BTreeSet<_> = known_addresses().collect();
        candidates(addresses.iter().map(SocketAddr::to_string))
    })
}

/// Completes addresses of servers, without ports.
pub(super) fn servers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let servers: BTreeSet<_> = known_addresses().map(|address| address.ip()).collect();
        candidates(servers.iter().map(ToString::to_string))
    })
}

pub(super) fn interfaces() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let found = if_nameindex();
        let names = found.iter().flat_map(|all| all.iter());
        candidates(names.map(|one| one.name().to_string_lossy().into_owned()))
    })
}

pub(super) fn versions() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let versions = ask(async |client: Client| client.history().await);
        let versions = versions.into_iter().flatten();
        let candidate = |version: crate::control::VersionView| {
            let what = printable::line(&version.what).into_owned();
            CompletionCandidate::new(version.version.to_string()).help(Some(what.into()))
        };
        versions.map(candidate).collect()
    })
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    names.into_iter().filter(|name| is_plain(name)).map(CompletionCandidate::new).collect()
}

/// Returns true if a shell inserts a name as it is. An interface can be named like a command.
fn is_plain(name: &str) -> bool {
    name.chars().all(|one| one.is_ascii_alphanumeric() || "._@-:[]/".contains(one))
}

fn known_services() -> Vec<ServiceView> {
    ask(async |client: Client| client.services().await).unwrap_or_default()
}

fn known_addresses() -> impl Iterator<Item = SocketAddr> {
    let named = named_service(env::args_os().skip_while(|word| word != "--").skip(1));
    let mut services = known_services();
    if let Some(named) = named.filter(|named| services.iter().any(|one| one.name == *named)) {
        services.retain(|service| service.name == named);
    }
    services.into_iter().flat_map(|service| service.backends).map(|backend| backend.address)
}

/// Returns the service that an incomplete command line names.
fn named_service(words: impl Iterator<Item = OsString>) -> Option<String> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    let mut deepest = &matches;
    while let Some((_, inner)) = deepest.subcommand() {
        deepest = inner;
    }
    deepest.try_get_one("service").ok().flatten().cloned()
}

/// Returns the daemon's answer, or None without a timely one.
fn ask<T, F>(question: impl FnOnce(Client) -> F) -> Option<T>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let runtime = runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer =
        runtime.block_on(async { timeout(PATIENCE, question(Client::new(socket()))).await });
    runtime.shutdown_background();
    answer.ok()?.ok()
}

/// Returns the daemon's socket, as given on the command line.
fn socket() -> std::path::PathBuf {
    let words: Vec<_> = env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let after = words.windows(2).find(|pair| pair[0] == "--socket").map(|pair| pair[1].clone());
    let joined =
        words.iter().find_map(|word| word.strip_prefix("--socket=").map(ToOwned::to_owned));
    let named = after.or(joined).or_else(|| env::var(SOCKET_VARIABLE).ok());
    named.unwrap_or_else(|| DEFAULT_SOCKET.to_owned()).into()
}

/// Returns true if a command is not hidden.
pub(super) fn is_shown(command: &Command) -> bool {
    !command.is_hide_set()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_names_its_service_whatever_its_verbs_are() {
        for (line, named) in [
            ("xdplb backend drain web ", Some("web")),
            ("xdplb backend drain backend ", Some("backend")),
            ("xdplb -o json --socket drain backend drain web 10.0", Some("web")),
            ("xdplb backend set --weight 3 web ", Some("web")),
            ("xdplb conns --service web --backend ", Some("web")),
            ("xdplb conns --backend ", None),
            ("xdplb backend drain --all-services ", None),
        ] {
            let words = line.split(' ').map(OsString::from);
            assert_eq!(named_service(words).as_deref(), named, "{line}");
        }
    }

    #[test]
    fn names_that_a_shell_would_interpret_are_not_offered() {
        let names =
            ["eth0", "br-lan.7", "10.0.0.11:80", "a$(id)", "a;b", "a`b", "a b", "\u{1b}[31m"];
        let offered = candidates(names.map(ToOwned::to_owned));
        let offered: Vec<_> = offered.iter().map(|one| one.get_value().to_os_string()).collect();
        assert_eq!(offered, names[..3]);
    }
}
