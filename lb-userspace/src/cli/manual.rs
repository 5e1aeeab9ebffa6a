//! Manual pages: what clap knows of a verb, and what it does not.

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
    ("0", "Done."),
    ("1", "Failed."),
    ("2", "Wrong usage or an invalid configuration."),
    ("3", "No daemon at the socket."),
    ("4", "diff has found differences, or check --strict has warnings."),
    ("70", "A bug has ended the daemon."),
];

const FILES: [(&str, &str); 5] = [
    ("/etc/xdplb/xdplb.toml", "The configuration: see xdplb.toml(5)."),
    ("/run/xdplb/xdplb.sock", "The daemon's socket, for root and the group xdplb."),
    ("/var/lib/xdplb", "Changes by commands, the history, and what is known of backends."),
    ("/sys/fs/bpf/xdplb", "The pinned programs and maps, which outlive the daemon."),
    ("/etc/xdplb/tls", "Certificates that checks may name without root."),
];

const SIGNALS: [(&str, &str); 2] = [
    ("SIGHUP", "The daemon reads its file again. An invalid file changes nothing."),
    ("SIGTERM, SIGINT", "The daemon stops. Forwarding continues until xdplb detach."),
];

/// Commands and what they do, by verb.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("xdplb", "xdplb demo", "Show a balancer, three servers and traffic in namespaces."),
    ("xdplb", "xdplb run -c /etc/xdplb/xdplb.toml", "Run the daemon in the foreground."),
    ("xdplb", "xdplb -o json status | jq .interfaces", "Read the status in a script."),
    ("xdplb run", "xdplb run -c /etc/xdplb/xdplb.toml", "Run the daemon in the foreground."),
    ("xdplb check", "xdplb check -c lb.toml", "Show all mistakes in a file."),
    ("xdplb check", "xdplb check -o json -c - < lb.toml", "List them for a program."),
    (
        "xdplb detach",
        "xdplb detach",
        "Stop forwarding on all interfaces, after the daemon has stopped.",
    ),
    ("xdplb status", "xdplb status", "Show the daemon, its interfaces and its warnings."),
    ("xdplb service list", "xdplb service list -o wide", "List all services with counters."),
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
        "Show what a change of settings would do.",
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
        "Empty a backend before an upgrade, in five minutes at most.",
    ),
    (
        "xdplb backend drain",
        "xdplb backend drain --all-services 10.0.0.13",
        "Empty a server that several services have.",
    ),
    (
        "xdplb backend enable",
        "xdplb backend enable --all-services 10.0.0.13",
        "Give it connections again.",
    ),
    ("xdplb backend disable", "xdplb backend disable web 10.0.0.13:80", "Stop checking it, too."),
    ("xdplb diff", "xdplb diff -c lb.toml", "Show what apply would change."),
    ("xdplb apply", "xdplb apply -c lb.toml", "Make everything as the file says."),
    ("xdplb export", "xdplb export > lb.toml", "Keep what runs as a file."),
    ("xdplb history", "xdplb history 7", "Show all of version 7."),
    ("xdplb rollback", "xdplb rollback 7", "Go back to version 7."),
    ("xdplb stats", "xdplb stats web --rate", "Show the traffic of a service in one second."),
    (
        "xdplb conns",
        "xdplb conns --service web --state established --limit 20",
        "List connections.",
    ),
    ("xdplb demo", "xdplb demo --keep", "Leave the demo running."),
    (
        "xdplb completions",
        "xdplb completions bash > /etc/bash_completion.d/xdplb",
        "Install completions.",
    ),
    ("xdplb man", "xdplb man backend drain", "Read a page."),
];

/// The page of a verb.
pub(super) fn page(command: Command) -> Result<String> {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let has_verbs = command.has_subcommands();
    let is_first = name == "xdplb";
    // The exit codes have a section of their own.
    let man = Man::new(command.after_help(""));
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

fn list(page: &mut Roff, heading: &str, entries: &[(&str, &str)]) {
    page.control("SH", [heading]);
    for (term, meaning) in entries {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*meaning)]);
    }
}

/// Shows a page, formatted and in a pager if this is a terminal. Elsewhere it is printed as it is.
pub(super) fn show(page: &str) -> io::Result<()> {
    if io::stdout().is_terminal() {
        match page_by_man(page) {
            Ok(()) => return Ok(()),
            Err(error) => print_error(format_args!("xdplb: cannot run `man` ({error})")),
        }
    }
    io::stdout().write_all(page.as_bytes())
}

/// `man` itself heeds `$MANPAGER` and `$PAGER`.
fn page_by_man(page: &str) -> io::Result<()> {
    let mut man = Process::new("man").args(["-l", "-"]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = man.stdin.take() {
        // Who leaves the pager early has read enough.
        input.write_all(page.as_bytes()).ok();
    }
    ended_well(man.wait()?)
}

/// A user may interrupt it.
fn ended_well(status: ExitStatus) -> io::Result<()> {
    match status.code() {
        None | Some(0) => Ok(()),
        Some(_) => Err(io::Error::other(status.to_string())),
    }
}
