//! Manual pages: the sections from clap, and those that clap lacks.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::{Command as Process, ExitStatus, Stdio},
};

use anyhow::Result;
use clap::Command;
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use super::output::print_error;

const EXIT_STATUS: [(&str, &str); 6] = [
    ("0", "Success."),
    (
        "1",
        "Failure. The daemon cannot do it in its present state: a name, VIP or backend is taken or \
         does not exist, or the daemon is busy.",
    ),
    ("2", "Usage error, or invalid value or configuration, whatever the daemon's state."),
    ("3", "No daemon at the socket."),
    (
        "4",
        "diff found differences, check --strict found warnings, or doctor found problems or warnings.",
    ),
    ("70", "The daemon ended because of a bug."),
];

const FILES: [(&str, &str); 5] = [
    ("/etc/xdplb/xdplb.toml", "The configuration: see xdplb.toml(5)."),
    ("/run/xdplb/xdplb.sock", "The daemon's socket, for root and the group xdplb."),
    ("/var/lib/xdplb", "Changes made by commands, the history and the health of backends."),
    ("/sys/fs/bpf/xdplb", "The pinned programs and maps, which outlive the daemon."),
    ("/etc/xdplb/tls", "Certificates and keys that users other than root may use in checks."),
];

const SIGNALS: [(&str, &str); 2] = [
    ("SIGHUP", "Reload the configuration file. An invalid file changes nothing."),
    ("SIGTERM, SIGINT", "Stop the daemon. Forwarding continues until xdplb detach."),
];

/// Example commands with descriptions, by verb.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("xdplb", "xdplb demo", "Show a balancer, three servers and traffic in namespaces."),
    ("xdplb", "xdplb run -c /etc/xdplb/xdplb.toml", "Run the daemon in the foreground."),
    ("xdplb", "xdplb -o json status | jq .interfaces", "Read the status in a script."),
    ("xdplb run", "xdplb run -c /etc/xdplb/xdplb.toml", "Run the daemon in the foreground."),
    ("xdplb check", "xdplb check -c lb.toml", "Show all errors in a file."),
    ("xdplb check", "xdplb check -o json -c - < lb.toml", "List them as JSON."),
    (
        "xdplb detach",
        "xdplb detach",
        "Stop forwarding on all interfaces, after the daemon has stopped.",
    ),
    ("xdplb doctor", "xdplb doctor", "Find out why nothing works, and what fixes it."),
    (
        "xdplb doctor",
        "xdplb doctor -c lb.toml -o json",
        "Check whether this host can run a file, in a script.",
    ),
    ("xdplb status", "xdplb status", "Show the daemon, its interfaces and its warnings."),
    ("xdplb service list", "xdplb service list -o wide", "List all services with counters."),
    ("xdplb pair status", "xdplb pair status", "Show which groups this node is active for."),
    (
        "xdplb pair ready",
        "xdplb pair ready --need 2",
        "Check this node in keepalived's track_script.",
    ),
    (
        "xdplb pair keepalived",
        "xdplb pair keepalived -c /etc/xdplb/xdplb.toml --peer 10.0.0.2 > /etc/keepalived/keepalived.conf",
        "Configure keepalived on this node.",
    ),
    ("xdplb pair promote", "xdplb pair promote web", "Make this node active for a group."),
    ("xdplb pair demote", "xdplb pair demote web", "Make this node standby for a group."),
    (
        "xdplb service show",
        "xdplb service show web",
        "Show a service and the origin of each setting.",
    ),
    (
        "xdplb service add",
        "xdplb service add web --vip 203.0.113.10:80 --backend 10.0.0.11 --backend 10.0.0.12:8080",
        "Add a service and its backends in one change.",
    ),
    (
        "xdplb service set",
        "xdplb service set web --scheduler maglev --health type=http --unset health.path --dry-run",
        "Show what changing these settings would do.",
    ),
    ("xdplb service remove", "xdplb service remove web", "Remove a service."),
    ("xdplb backend list", "xdplb backend list web", "List the backends of a service."),
    ("xdplb backend add", "xdplb backend add web 10.0.0.13:80 --weight 2", "Add a backend."),
    ("xdplb backend remove", "xdplb backend remove web 10.0.0.13:80", "Remove a backend."),
    (
        "xdplb backend set",
        "xdplb backend set web 10.0.0.13:80 --weight 0",
        "Give a backend no new connections.",
    ),
    (
        "xdplb backend drain",
        "xdplb backend drain web 10.0.0.13:80 --wait --deadline 5m",
        "Drain a backend before an upgrade, within five minutes.",
    ),
    (
        "xdplb backend drain",
        "xdplb backend drain --all-services 10.0.0.13",
        "Drain a server in all services that use it.",
    ),
    ("xdplb backend enable", "xdplb backend enable --all-services 10.0.0.13", "Enable it again."),
    (
        "xdplb backend disable",
        "xdplb backend disable web 10.0.0.13:80",
        "Also stop its health checks.",
    ),
    ("xdplb diff", "xdplb diff -c lb.toml", "Show what apply would change."),
    ("xdplb apply", "xdplb apply -c lb.toml", "Apply the file."),
    ("xdplb export", "xdplb export > lb.toml", "Save the running configuration to a file."),
    ("xdplb history", "xdplb history 7", "Show all of version 7."),
    ("xdplb rollback", "xdplb rollback 7", "Roll back to version 7."),
    ("xdplb stats", "xdplb stats web --rate", "Show the traffic rates of a service."),
    ("xdplb top", "xdplb top --interval 5s", "Watch the balancer."),
    (
        "xdplb conns",
        "xdplb conns --service web --state established --limit 20",
        "List connections.",
    ),
    (
        "xdplb explain",
        "xdplb explain 198.51.100.7:40000 203.0.113.10:80",
        "Explain what would happen to a client's packet.",
    ),
    (
        "xdplb trace",
        "xdplb trace --service web -w - | wireshark -k -i -",
        "Watch the packets of a service in Wireshark.",
    ),
    (
        "xdplb conns",
        "xdplb conns --sort idle --limit 20",
        "List the connections without a packet for longest.",
    ),
    ("xdplb conns", "xdplb conns --service web --top 10", "Show who has the most connections."),
    (
        "xdplb conns",
        "xdplb conns --client 198.51.100.7 --kill --yes",
        "End a client's connections.",
    ),
    ("xdplb demo", "xdplb demo --keep", "Leave the demo running."),
    (
        "xdplb completions",
        "xdplb completions bash > /etc/bash_completion.d/xdplb",
        "Install completions.",
    ),
    ("xdplb man", "xdplb man backend drain", "Read a manual page."),
];

/// Returns the manual page of a verb.
pub(super) fn page(command: Command) -> Result<String> {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let has_verbs = command.has_subcommands();
    let is_first = name == "xdplb";
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    // The exit codes have a section of their own.
    let man = Man::new(command.after_help("").about(first_sentence(&about)).long_about(about))
        .title(name.replace(' ', "-").to_uppercase())
        .source(concat!("xdplb ", env!("CARGO_PKG_VERSION")))
        .manual("xdplb manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_verbs {
        man.render_subcommands_section(&mut page)?;
    }
    let mut rest = Roff::new();
    if is_first || name == "xdplb run" {
        list(&mut rest, "FILES", &FILES);
        list(&mut rest, "SIGNALS", &SIGNALS);
    }
    list(&mut rest, "EXIT STATUS", &EXIT_STATUS);
    let examples = EXAMPLES.iter().filter(|(verb, ..)| *verb == name);
    let examples: Vec<_> = examples.map(|(_, command, meaning)| (*command, *meaning)).collect();
    if !examples.is_empty() {
        list(&mut rest, "EXAMPLES", &examples);
    }
    rest.control("SH", ["SEE ALSO"]);
    rest.text([bold("xdplb"), roman("(1), "), bold("xdplb.toml"), roman("(5)")]);
    page.extend(rest.render().into_bytes());
    Ok(String::from_utf8(page)?)
}

/// Returns what `man -k` shows.
fn first_sentence(about: &str) -> String {
    let (first, _) = about.split_once(". ").unwrap_or((about, ""));
    first.trim_end_matches('.').to_owned()
}

fn list(page: &mut Roff, heading: &str, entries: &[(&str, &str)]) {
    page.control("SH", [heading]);
    for (term, meaning) in entries {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*meaning)]);
    }
}

/// Shows a page, formatted and in a pager on a terminal, otherwise as raw roff.
pub(super) fn show(page: &str) -> io::Result<()> {
    if io::stdout().is_terminal() {
        match page_by_man(page) {
            Ok(()) => return Ok(()),
            Err(error) => print_error(format_args!("xdplb: cannot run `man` ({error})")),
        }
    }
    io::stdout().write_all(page.as_bytes())
}

/// Pipes a page to `man`, which honours `$MANPAGER` and `$PAGER`.
fn page_by_man(page: &str) -> io::Result<()> {
    let mut man = Process::new("man").args(["-l", "-"]).stdin(Stdio::piped()).spawn()?;
    let written = man.stdin.take().map_or(Ok(()), |mut input| input.write_all(page.as_bytes()));
    ended_well(man.wait()?)?;
    match written {
        // The pager may exit before it has read everything.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Accepts also that the user interrupts it.
fn ended_well(status: ExitStatus) -> io::Result<()> {
    match status.code() {
        None | Some(0) => Ok(()),
        Some(_) => Err(io::Error::other(status.to_string())),
    }
}
