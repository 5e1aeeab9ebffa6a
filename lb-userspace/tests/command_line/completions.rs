//! Completions.

use std::{path::Path, process::Command};

use crate::{BINARY, Ended, daemon::FakeDaemon, xdplb};

/// Returns the candidates for the last of these words.
fn offered(daemon: &FakeDaemon, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(BINARY);
    command.args([&["--", "xdplb"], words].concat());
    command.env("XDPLB_COMPLETE", "fish").env("XDPLB_SOCKET", daemon.socket());
    let ended = Ended::of(command.output().expect("runs"));
    assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
    ended.out.lines().map(|line| line.split('\t').next().unwrap_or(line).to_owned()).collect()
}

#[test]
fn completions_offer_words_and_names() {
    let daemon = FakeDaemon::with_connections(0);
    for (words, expected) in [
        (&["service", "show", ""][..], "web"),
        (&["stats", ""], "web"),
        (&["service", "add", "api", "--scheduler", ""], "maglev"),
        (&["service", "add", "api", "--mode", ""], "nat"),
        (&["backend", "drain", "web", ""], "10.0.0.11:80"),
        (&["backend", "drain", "--all-services", ""], "10.0.0.11"),
        (&["backend", "drain", "--all-services", "10.0.0.11:"], "10.0.0.11:80"),
        (&["service", "set", "web", "--health", ""], "type="),
        (&["service", "set", "web", "--health", "type=h"], "type=https"),
        (&["service", "set", "web", "--set", "failback="], "failback=manual"),
        (&["service", "set", "web", "--unset", "health.p"], "health.path"),
        (&["service", "set", "web", "--timeouts", ""], "established="),
        (&["history", ""], "1"),
        (&["detach", ""], "lo"),
        (&[""], "service"),
    ] {
        let offered = offered(&daemon, words);
        assert!(offered.iter().any(|one| one == expected), "{words:?}: {offered:?}");
    }
    let verbs = offered(&daemon, &[""]);
    assert!(
        !verbs.iter().any(|verb| ["respond", "documents"].contains(&verb.as_str())),
        "{verbs:?}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = xdplb(&["completions", shell]).out;
        assert!(script.contains("XDPLB_COMPLETE"), "{shell}: {script}");
    }
}

/// Returns the candidates of bash for the last of these pieces, which are of one line without
/// spaces between them if they begin or end with `:` or `=`, as readline splits it.
fn offered_by_bash(daemon: &FakeDaemon, line: &str, pieces: &[&str], last: &str) -> Vec<String> {
    let script = r#"
        . <(xdplb completions bash)
        COMP_LINE=$1 COMP_POINT=${#1} last=$2
        shift 2
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
        complete -p xdplb > /dev/null || exit 1
        _xdplb xdplb "$last" ""
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let directory = Path::new(BINARY).parent().expect("a directory").display();
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", line, last]).args(pieces);
    command.env("PATH", format!("{directory}:/usr/bin:/bin")).env("XDPLB_SOCKET", daemon.socket());
    let ended = Ended::of(command.output().expect("bash runs"));
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{line}: {ended:?}");
    ended.out.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn bash_completes_words_that_readline_splits() {
    let daemon = FakeDaemon::with_connections(0);
    for (line, pieces, last, expected) in [
        (
            "xdplb backend drain web 10.0",
            &["xdplb", "backend", "drain", "web", "10.0"][..],
            "10.0",
            "10.0.0.11:80",
        ),
        (
            "xdplb backend drain web 10.0.0.11:",
            &["xdplb", "backend", "drain", "web", "10.0.0.11", ":"],
            "",
            "80",
        ),
        (
            "xdplb backend drain web 10.0.0.11:8",
            &["xdplb", "backend", "drain", "web", "10.0.0.11", ":", "8"],
            "8",
            "80",
        ),
        (
            "xdplb service add x --vip 203.0.113.2:80 --scheduler=ma",
            &[
                "xdplb",
                "service",
                "add",
                "x",
                "--vip",
                "203.0.113.2",
                ":",
                "80",
                "--scheduler",
                "=",
                "ma",
            ],
            "ma",
            "maglev",
        ),
        (
            "xdplb conns --backend=10.0.0.11:",
            &["xdplb", "conns", "--backend", "=", "10.0.0.11", ":"],
            "",
            "80",
        ),
        (
            "xdplb service set web --health type=https",
            &["xdplb", "service", "set", "web", "--health", "type", "=", "https"],
            "https",
            "https",
        ),
        (
            "xdplb backend drain --all-services 10.0.0.11:",
            &["xdplb", "backend", "drain", "--all-services", "10.0.0.11", ":"],
            "",
            "80",
        ),
        (
            "xdplb service set web --set=health.type= --mo",
            &["xdplb", "service", "set", "web", "--set", "=", "health.type", "=", "--mo"],
            "--mo",
            "--mode",
        ),
    ] {
        assert_eq!(offered_by_bash(&daemon, line, pieces, last), [expected], "{line}");
    }
}
