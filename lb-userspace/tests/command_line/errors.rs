//! Exit codes and texts of errors.

use std::{
    fs, io,
    process::{Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{BINARY, Ended, daemon::FakeDaemon, file, parsed, xdplb};

#[test]
fn without_a_daemon_one_line_tells_how_to_start_it() {
    let verbs =
        [&["status"][..], &["service", "list"], &["backend", "list"], &["stats"], &["conns"]];
    for verb in verbs {
        let ended = xdplb(&[verb, &["--socket", "/nowhere/socket"]].concat());
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.err.contains("xdplb run -c FILE"), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn a_request_that_the_daemon_refuses_exits_with_1_and_one_line() {
    let daemon = FakeDaemon::with_connections(0);
    let ended = daemon.xdplb(&["backend", "add", "web", "10.0.0.11:80"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), "xdplb: it is there already\n"));
    let ended = daemon.xdplb(&["service", "show", "web?"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), "xdplb: there is no service web?\n"));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let daemon = FakeDaemon::with_connections(0);
    let socket = daemon.socket();
    let list = ["--socket", &socket, "service", "list", "-o", "json"];
    for verb in [&["man"][..], &["completions", "bash"], &list] {
        let command =
            Command::new(BINARY).args(verb).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = command.expect("runs");
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("ends");
        assert!(ended.status.success() && ended.stderr.is_empty(), "{verb:?}: {ended:?}");
    }
}

#[test]
fn the_exit_code_does_not_depend_on_the_reader_of_the_output() {
    let directory = TempDir::new().expect("a directory");
    let invalid = file(&directory, "interfaces = []").display().to_string();
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let check = ["check", "-c", &invalid, "-o", "json"];
    let ended = Command::new(BINARY).args(check).stdout(writer).output().expect("runs");
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

#[test]
fn the_exit_code_does_not_depend_on_the_pipe_of_errors() {
    let directory = TempDir::new().expect("a directory");
    let invalid = file(&directory, "interfaces = []").display().to_string();
    let orphan = ["status", "--socket", "/nowhere"];
    for (verb, code) in [(&["check", "-c", &invalid][..], 2), (&orphan, 3)] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let ended = Command::new(BINARY).args(verb).stderr(writer).status().expect("runs");
        assert_eq!(ended.code(), Some(code), "{verb:?}");
    }
}

#[test]
fn errors_are_problem_documents_with_json_output() {
    let daemon = FakeDaemon::with_connections(0);
    for (verb, code, word) in [
        (&["service", "show", "nope", "-o", "json"][..], 1, "there is no service nope"),
        (&["service", "lost", "-o", "json"], 2, "unrecognized subcommand"),
        (&["-o", "json", "backend", "add", "web", "10.0.0.11"], 2, "the port is missing"),
        (&["man", "nope", "--output", "json"], 2, "unknown command"),
        (&["-qo", "json", "nope"], 2, "unrecognized subcommand"),
        (
            &[
                "service",
                "set",
                "web",
                "--set",
                "vip=203.0.113.11:80",
                "--vip",
                "203.0.113.10:80",
                "-ojson",
            ],
            2,
            "`vip` is given twice",
        ),
        (&["service", "add", "db", "-o", "json"], 2, "`--vip` is missing: give one"),
        (&["service", "set", "web", "-o", "json"], 2, "nothing to change: give a setting"),
        (
            &["service", "set", "web", "--health", "type=http", "--unset", "health", "-o", "json"],
            2,
            "`health` and `health.type` contradict each other",
        ),
    ] {
        let ended = daemon.xdplb(verb);
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{verb:?}: {ended:?}");
        let problem = parsed(&ended.err);
        assert_eq!(problem["exit_code"], code, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(word)), "{problem}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
    }
    let absent = xdplb(&["status", "-o", "json", "--socket", "/nowhere/socket"]);
    assert_eq!((absent.code, &parsed(&absent.err)["exit_code"]), (Some(3), &json!(3)));
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let daemon = FakeDaemon::with_connections(0);
    let socket = daemon.socket();
    let list = ["--socket", &socket, "service", "list"];
    for verb in [&["--help"][..], &["--version"], &["man"], &["completions", "bash"], &list] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("opens");
        let ended = Command::new(BINARY).args(verb).stdout(full).stderr(Stdio::piped()).output();
        let ended = Ended::of(ended.expect("runs"));
        assert_eq!(ended.code, Some(1), "{verb:?}: {ended:?}");
        assert!(
            ended.err.starts_with("xdplb: cannot write to standard output: No space left"),
            "{verb:?}: {ended:?}"
        );
    }
}
