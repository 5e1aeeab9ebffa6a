//! Control characters in answers and arguments.

use std::{
    fs,
    process::{Command, Output},
};

use lb_model::views::VersionView;
use tempfile::TempDir;

use crate::{
    BINARY, Ended,
    daemon::{FORGED, FakeDaemon, HOSTILE, version},
    file, xdplb,
};

fn assert_printable(verb: &[&str], ended: &Ended) {
    for text in [&ended.out, &ended.err] {
        let is_raw = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(is_raw), "{verb:?}: {text:?}");
        assert!(!text.lines().any(|line| line.trim_start() == "forged"), "{verb:?}: {text:?}");
    }
}

#[test]
fn control_characters_of_the_daemon_are_escaped() {
    let daemon = FakeDaemon::with_connections(FORGED);
    let good = file(&daemon.directory, "interfaces = [\"eth0\"]").display().to_string();
    let verbs = [
        &["service", "list"][..],
        &["service", "list", "-o", "wide"],
        &["service", "list", "-o", "json"],
        &["service", "show", "web"],
        &["backend", "list"],
        &["backend", "list", "-o", "json"],
        &["history"],
        &["history", "-o", "json"],
        &["diff", "-c", &good],
        &["diff", "-c", &good, "-o", "json"],
        &["service", "add", HOSTILE, "--vip", "203.0.113.1:80"],
        &["rollback"],
    ];
    for verb in verbs {
        let ended = daemon.xdplb(verb);
        // Errors may have more lines than one, as a file may have more mistakes than one.
        let is_error = matches!(ended.code, Some(1 | 2)) || verb[0] == "diff";
        let shown = format!("{}{}", ended.out, ended.err);
        assert!(shown.contains("owned"), "{verb:?}: {ended:?}");
        if is_error {
            assert!(!shown.contains('\x1b'), "{verb:?}: {ended:?}");
        } else {
            assert_printable(verb, &ended);
        }
    }
    let json = daemon.xdplb(&["history", "-o", "json"]).out;
    let versions: Vec<VersionView> = serde_json::from_str(&json).expect("the shape");
    assert_eq!(versions, [version()], "the value is kept");
}

#[test]
fn control_characters_of_arguments_and_paths_are_escaped() {
    let directory = TempDir::new().expect("a directory");
    let hostile = HOSTILE.replace('\n', "");
    let path = directory.path().join(&hostile);
    fs::write(&path, "interfaces = []\n\"\\u001b[2J\" = 1").expect("written");
    let (path, missing) = (path.display().to_string(), format!("/nowhere/{hostile}"));
    let verbs = [
        &["check", "-c", &path][..],
        &["check", "-c", &missing],
        &["run", "-c", &path],
        &["run", "-c", &missing],
        &["diff", "-c", &path],
        &["apply", "-c", &missing],
        &["status", "--socket", &missing],
        &["stats", "--socket", &missing],
        &["conns", "--socket", &missing],
        &["conns", "--client", &hostile],
        &["history", "--socket", &missing],
        &["rollback", &hostile],
        &["service", "show", "web", "--socket", &missing],
        &["backend", "drain", "web", &hostile],
        &["backend", "list", "--socket", &missing],
        &["detach", "--bpffs", &missing, &hostile],
        &["man", &hostile],
        &["completions", &hostile],
        &["demo", &hostile],
        &[&hostile],
    ];
    for verb in verbs {
        let ended = xdplb(verb);
        assert_ne!(ended.code, Some(0), "{verb:?}: {ended:?}");
        assert!(ended.err.contains("forged"), "{verb:?}: {ended:?}");
        assert_printable(verb, &ended);
    }
}

#[test]
fn coloured_usage_repeats_no_control_characters() {
    for (verb, variable) in [("\x1b[2Jx", "/run/s"), ("--help", "\x1b[2J/run/s")] {
        let mut command = Command::new(BINARY);
        command.arg(verb).env("CLICOLOR_FORCE", "1").env("XDPLB_SOCKET", variable);
        let Output { stdout, stderr, .. } = command.output().expect("runs");
        let shown = String::from_utf8([stdout, stderr].concat()).expect("text");
        assert!(!shown.contains("\x1b[2J"), "{shown:?}");
    }
    let mut command = Command::new(BINARY);
    command.arg("nope").env("CLICOLOR_FORCE", "1");
    let shown = command.output().expect("runs").stderr;
    assert!(shown.contains(&b'\x1b'), "colours are kept");
}
