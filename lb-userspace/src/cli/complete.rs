//! Shell completions.

mod pairs;

use std::{
    collections::BTreeSet,
    env,
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command, CommandFactory as _, value_parser};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate},
    env::Shells,
};
use lb_client::{Client, ClientError};
use lb_config::reference;
use lb_model::{DEFAULT_SOCKET, views::ServiceView};
use nix::net::if_::if_nameindex;
use tokio::{runtime, time::timeout};

use super::args::Cli;
use lb_host::printable;

/// Environment variable with the name of the shell that requests completions.
const VARIABLE: &str = "XDPLB_COMPLETE";

/// Completes words with `:` and `=` in bash, by means of clap's own function.
const BASH: &str = include_str!("complete.bash");

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
    let shells = Shells::builtins();
    let completer =
        shells.completer(&name).with_context(|| format!("no completions for {name}"))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "xdplb", "xdplb", "xdplb", &mut script)?;
    let script = String::from_utf8(script)?;
    Ok(if shell == Shell::Bash { script.trim_end().to_owned() + "\n" + BASH } else { script })
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

/// Completes addresses of servers, with their ports after a colon.
pub(super) fn servers() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = typed.to_string_lossy();
        let server = |address: SocketAddr| {
            if typed.contains(':') { address.to_string() } else { address.ip().to_string() }
        };
        let servers: BTreeSet<_> = known_addresses().map(server).collect();
        candidates(servers.into_iter().filter(|server| server.starts_with(&*typed)))
    })
}

/// Completes keys of `[[service]]`, or of a table in it.
pub(super) fn keys(table: Option<&'static str>) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| {
        let typed = typed.to_string_lossy();
        candidates(pairs::keys(table).into_iter().filter(|key| key.starts_with(&*typed)))
    })
}

/// Completes `KEY=VALUE` with keys of `[[service]]`, or of a table in it, and with the values of an
/// enumerated key.
pub(super) fn pairs(table: Option<&'static str>) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| {
        let typed = typed.to_string_lossy();
        let pairs = pairs::pairs(table, &typed).into_iter();
        pairs.filter(|pair| pair.starts_with(&*typed)).map(CompletionCandidate::new).collect()
    })
}

pub(super) fn interfaces() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let found = if_nameindex();
        let names = found.iter().flat_map(|all| all.iter());
        candidates(names.map(|one| one.name().to_string_lossy().into_owned()))
    })
}

/// Completes names of groups.
pub(super) fn groups() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let groups = ask(async |client: Client| client.groups().await).into_iter().flatten();
        candidates(groups.map(|group| group.name))
    })
}

pub(super) fn versions() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let versions = ask(async |client: Client| client.history().await);
        let versions = versions.into_iter().flatten();
        let candidate = |version: lb_model::views::VersionView| {
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
    let named = named_service(line());
    let mut services = known_services();
    if let Some(named) = named.filter(|named| services.iter().any(|one| one.name == *named)) {
        services.retain(|service| service.name == named);
    }
    services.into_iter().flat_map(|service| service.backends).map(|backend| backend.address)
}

/// Returns the words of the command line to complete.
fn line() -> impl Iterator<Item = OsString> {
    env::args_os().skip_while(|word| word != "--").skip(1)
}

/// Parses an incomplete command line, whose values may be incomplete, too.
fn parsed(words: impl Iterator<Item = OsString>) -> Option<ArgMatches> {
    unchecked(Cli::command()).ignore_errors(true).try_get_matches_from(words).ok()
}

/// Returns a command that accepts any text as a value: parsing ends at an invalid one.
fn unchecked(command: Command) -> Command {
    let any = |one: Arg| {
        if one.get_action().takes_values() {
            one.value_parser(value_parser!(OsString))
        } else {
            one
        }
    };
    command.mut_args(any).mut_subcommands(unchecked)
}

/// Returns the service that an incomplete command line names.
fn named_service(words: impl Iterator<Item = OsString>) -> Option<String> {
    let matches = parsed(words)?;
    let mut deepest = &matches;
    while let Some((_, inner)) = deepest.subcommand() {
        deepest = inner;
    }
    let named = deepest.try_get_one::<OsString>("service").ok().flatten()?;
    named.to_str().map(ToOwned::to_owned)
}

/// Returns the socket that an incomplete command line or the environment names, or the default one.
fn socket(words: impl Iterator<Item = OsString>) -> PathBuf {
    let named = parsed(words).and_then(|matches| matches.get_one::<OsString>("socket").cloned());
    named.map_or_else(|| DEFAULT_SOCKET.into(), PathBuf::from)
}

/// Returns the daemon's answer, or None without a timely one.
fn ask<T, F>(question: impl FnOnce(Client) -> F) -> Option<T>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let client = Client::new(socket(line()));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(async { timeout(PATIENCE, question(client)).await });
    runtime.shutdown_background();
    answer.ok()?.ok()
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
    fn the_socket_is_the_value_of_its_option() {
        for (line, named) in [
            ("xdplb --socket /a status", "/a"),
            ("xdplb --socket=/a backend drain ", "/a"),
            ("xdplb backend drain web 10.0 --socket /a", "/a"),
            ("xdplb -qo json service show --socket /a ", "/a"),
            ("xdplb backend add web 10.0.0.1:80 --weight x --socket /a", "/a"),
            ("xdplb service show -- --socket /a", DEFAULT_SOCKET),
            ("xdplb service set web --set sni=--socket /a", DEFAULT_SOCKET),
            ("xdplb service show ", DEFAULT_SOCKET),
        ] {
            let words = line.split(' ').map(OsString::from);
            assert_eq!(socket(words), PathBuf::from(named), "{line}");
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
