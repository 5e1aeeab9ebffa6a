//! Changes and dry runs.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    BINARY,
    daemon::{FakeDaemon, VERSION},
    file, parsed,
};

#[test]
fn a_drain_waits_for_the_last_connection_until_its_deadline() {
    let drain = ["backend", "drain", "web", "10.0.0.11:80", "--wait", "--deadline"];
    let idle = FakeDaemon::with_connections(0).xdplb(&[&drain[..], &["1s"]].concat());
    assert_eq!(idle.code, Some(0), "{idle:?}");
    let ending = FakeDaemon::with_connections(2).xdplb(&[&drain[..], &["20s"]].concat());
    assert_eq!(ending.code, Some(0), "{ending:?}");
    let busy = FakeDaemon::with_connections(1_000).xdplb(&[&drain[..], &["1s"]].concat());
    assert_eq!(busy.code, Some(1), "{busy:?}");
    assert!(busy.err.contains("connections after its deadline"), "{busy:?}");
    let json =
        FakeDaemon::with_connections(1_000).xdplb(&[&drain[..], &["1s", "-o", "json"]].concat());
    assert_eq!((json.code, &parsed(&json.err)["exit_code"]), (Some(1), &json!(1)), "{json:?}");
    let outcome = parsed(&json.out);
    assert_eq!(outcome["changed"], true, "the change was made: {outcome}");
    assert!(outcome["until"].is_string(), "{outcome}");
}

#[test]
fn a_drain_tells_a_pipe_the_connections_left_in_lines() {
    let drain = ["backend", "drain", "web", "10.0.0.11:80", "--wait"];
    let shown = FakeDaemon::with_connections(2).xdplb(&drain);
    let expected = "10.0.0.11:80: 2 of 2 connections left\n";
    assert_eq!((shown.code, &*shown.out, &*shown.err), (Some(0), "", expected), "{shown:?}");
    for quiet in [&["-q"][..], &["-o", "json"]] {
        let silent = FakeDaemon::with_connections(2).xdplb(&[&drain[..], quiet].concat());
        assert_eq!((silent.code, &*silent.err), (Some(0), ""), "{silent:?}");
    }
}

#[test]
fn an_apply_that_takes_a_while_tells_what_it_waits_for() {
    let (daemon, directory) = (FakeDaemon::silent(), TempDir::new().expect("a directory"));
    let path = file(&directory, "interfaces = [\"eth1\"]\n").display().to_string();
    let mut apply = Command::new(BINARY);
    apply.args(["--socket", &daemon.socket(), "apply", "-c", &path]).stderr(Stdio::piped());
    let mut apply = apply.spawn().expect("runs");
    let mut said = BufReader::new(apply.stderr.take().expect("piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("text");
    apply.kill().expect("a child");
    apply.wait().expect("a child");
    assert_eq!(line, format!("the daemon checks and applies {path}\n"));
}

#[test]
fn json_of_a_change_tells_if_anything_changed() {
    let daemon = FakeDaemon::with_connections(0);
    let place = ["web", "10.0.0.11:80"];
    for (verb, is_changed) in [
        (&["service", "set", "web", "--scheduler", "maglev"][..], true),
        (&["service", "set", "web", "--turns", "per-cpu"], true),
        (&["service", "remove", "web"], true),
        (&["backend", "set", place[0], place[1], "--weight", "0"], true),
        (&["backend", "set", place[0], place[1], "--backup"], true),
        (&["backend", "drain", place[0], place[1]], true),
        (&["backend", "disable", "--all-services", "10.0.0.11"], true),
        (&["backend", "enable", place[0], place[1]], false),
    ] {
        let ended = daemon.xdplb(&[verb, &["-o", "json"]].concat());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{verb:?}: {ended:?}");
        let outcome = parsed(&ended.out);
        assert_eq!(outcome["changed"], is_changed, "{verb:?}: {outcome}");
        assert_eq!(outcome["dry_run"], false, "{verb:?}: {outcome}");
        assert_eq!(outcome["version"], VERSION, "{verb:?}: {outcome}");
    }
    let missing = daemon.xdplb(&["backend", "drain", "--all-services", "10.0.0.99"]);
    let expected = "xdplb: no service has a backend 10.0.0.99\n";
    assert_eq!((missing.code, missing.err.as_str()), (Some(1), expected));
}

#[test]
fn a_dry_run_prints_its_changes_like_diff() {
    let daemon = FakeDaemon::with_connections(0);
    let set = ["service", "set", "web", "--scheduler", "maglev", "--dry-run"];
    let ended = daemon.xdplb(&set);
    let expected = "~ web: scheduler: round-robin -> maglev\n";
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), expected), "{ended:?}");
    let outcome = parsed(&daemon.xdplb(&[&set[..], &["-o", "json"]].concat()).out);
    assert_eq!((&outcome["changed"], &outcome["dry_run"]), (&json!(true), &json!(true)));
    let removed = daemon.xdplb(&["service", "remove", "web", "--dry-run"]);
    assert_eq!(removed.out, "- web: 203.0.113.10:80\n", "{removed:?}");
    let real = daemon.xdplb(&["service", "set", "web", "--scheduler", "maglev"]);
    assert_eq!((real.code, real.out.as_str()), (Some(0), ""), "{real:?}");
}

#[test]
fn a_refused_dry_run_exits_like_the_change() {
    let (daemon, directory) =
        (FakeDaemon::with_connections(0), TempDir::new().expect("a directory"));
    let path = file(&directory, "interfaces = [\"eth0\"]\n").display().to_string();
    let json = ["-c", &path, "-o", "json"];
    let refused = daemon.xdplb(&[&["apply", "--dry-run"][..], &json].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let outcome = parsed(&refused.out);
    assert_eq!((&outcome["changed"], &outcome["dry_run"]), (&json!(false), &json!(true)));
    assert!(outcome["refused"].is_string() && outcome["steps"].is_array(), "{outcome}");
    let diff = daemon.xdplb(&[&["diff"][..], &json].concat());
    assert_eq!(diff.code, Some(2), "{diff:?}");
    assert_eq!(parsed(&diff.out), outcome, "one shape for one answer");
    let shown = daemon.xdplb(&["apply", "--dry-run", "-c", &path]);
    assert_eq!(shown.code, Some(2), "{shown:?}");
    assert!(shown.err.contains("`apply` would be refused"), "{shown:?}");
}

#[test]
fn warnings_of_a_file_are_shown_when_it_is_compared_or_applied() {
    let (daemon, directory) =
        (FakeDaemon::with_connections(0), TempDir::new().expect("a directory"));
    let text = "interfaces = [\"eth1\"]\n[[service]]\nname = \"db\"\nvip = \"203.0.113.9:80\"\n";
    let path = file(&directory, text).display().to_string();
    for verb in ["diff", "apply"] {
        let ended = daemon.xdplb(&[verb, "-c", &path]);
        let warning = format!("warning: {path}:3:8: db has no backends: its connections are");
        assert!(ended.err.contains(&warning), "{verb}: {ended:?}");
        let json = parsed(&daemon.xdplb(&[verb, "-c", &path, "-o", "json"]).out);
        let first = json["warnings"][0].as_str();
        assert!(first.is_some_and(|text| text.contains("db has no backends")), "{json}");
    }
}
