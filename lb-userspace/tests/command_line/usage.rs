//! Usage errors, and `man`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{BINARY, Ended, daemon::FakeDaemon, file, parsed, xdplb};

#[test]
fn a_usage_error_exits_with_2() {
    let daemon = FakeDaemon::with_connections(0);
    let invalid = file(&daemon.directory, "interfaces = []").display().to_string();
    for wrong in [
        &["frobnicate"][..],
        &["run"],
        &["status", "-o", "yaml"],
        &[],
        &["man", "frobnicate"],
        &["rollback", "-1"],
        &["history", "0"],
        &["service", "set", "web", "--set", "slow_start="],
        &["service", "set", "web"],
        &["service", "set", "web", "--dry-run", "--force"],
        &["backend", "set", "web", "10.0.0.11:80"],
        &["backend", "drain", "web"],
        &["backend", "drain", "web", "10.0.0.11:80", "--all-services", "10.0.0.11"],
        &["diff", "-c", &invalid],
        &["apply", "-c", &invalid],
        &["backend", "drain", "web", "10.0.0.11:80", "--deadline", "99999years"],
        &["backend", "set", "web", "10.0.0.11:80", "--weight", "70000"],
        &["service", "add", "web", "--vip", "nonsense"],
        &["conns", "--reverse"],
        &["conns", "--sort", "age", "--count"],
        &["conns", "--top", "3", "--limit", "3"],
        &["conns", "--sort", "age", "--limit", "20000"],
        &["conns", "--kill"],
        &["conns", "--kill", "--limit", "3"],
        &["conns", "--client", "192.0.2.1", "--yes"],
        &["conns", "--client", "192.0.2.1", "--kill", "--count"],
        &["top", "--interval", "249ms"],
        &["top", "--interval", "61s"],
    ] {
        let ended = daemon.xdplb(wrong);
        assert_eq!(ended.code, Some(2), "{wrong:?}: {ended:?}");
    }
}

#[test]
fn a_file_without_its_option_is_a_usage_error_with_the_option() {
    let tip = "\n  tip: give the configuration file with '-c FILE'\n";
    for words in [
        &["check", "lb.toml"][..],
        &["check", "--strict", "lb.toml"],
        &["run", "lb.toml"],
        &["doctor", "lb.toml"],
        &["diff", "lb.toml"],
        &["apply", "--dry-run", "lb.toml"],
    ] {
        let ended = xdplb(words);
        assert_eq!(ended.code, Some(2), "{words:?}: {ended:?}");
        assert!(ended.err.starts_with("error: unexpected argument 'lb.toml'"), "{ended:?}");
        assert!(ended.err.contains(tip), "{words:?}: {ended:?}");
    }
    let json = xdplb(&["-o", "json", "check", "lb.toml"]);
    assert_eq!(json.code, Some(2), "{json:?}");
    let detail = parsed(&json.err)["detail"].to_string();
    assert!(detail.contains("'-c FILE'"), "{detail}");
    for words in [&["check", "--file", "lb.toml"][..], &["status", "lb.toml"]] {
        let ended = xdplb(words);
        assert!(ended.code == Some(2) && !ended.err.contains("-c FILE"), "{ended:?}");
    }
}

#[test]
fn an_invalid_filter_is_a_usage_error_with_the_fix() {
    let cases = [
        ("--client", "web", "give ADDRESS, ADDRESS:PORT or NETWORK/LENGTH"),
        ("--backend", "10.0.0.11", "the port is missing"),
        ("--backend", "db.example:80", "names are not looked up"),
        ("--state", "open", "half-open, refused, answered, established, closing, closed"),
        ("--idle-over", "5", "5 has no unit, expected one, as in \"5s\""),
        ("--idle-over", "-5s", "-5s is negative"),
        ("--limit", "few", "give a number of at least 1"),
        ("--limit", "0", "give a number of at least 1"),
        ("--top", "0", "give a number from 1 to 10000"),
        ("--top", "20000", "give a number from 1 to 10000"),
        ("--limit", "-1", "give a number of at least 1"),
    ];
    for (filter, value, word) in cases {
        let ended = xdplb(&["conns", filter, value]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains(filter) && ended.err.contains(word), "{ended:?}");
    }
}

#[test]
fn top_needs_a_terminal_and_a_daemon() {
    let piped = xdplb(&["top"]);
    let hint = "xdplb: standard output is no terminal: use `xdplb stats --rate -o json`\n";
    assert_eq!((piped.code, &*piped.err), (Some(2), hint));
    for (terminal, code, word) in [("xterm", 3, "no daemon at /nowhere"), ("dumb", 2, "set TERM")] {
        let mut script = Command::new("script");
        script.args(["-qec", &format!("{BINARY} --socket /nowhere top"), "/dev/null"]);
        script.env("TERM", terminal).stdin(Stdio::null());
        let ended = Ended::of(script.output().expect("`script` runs"));
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.out.contains(word) && !ended.out.contains('\x1b'), "{ended:?}");
    }
}

#[test]
fn manual_pages_are_shown_by_man_on_a_terminal_only() {
    let directory = TempDir::new().expect("a directory");
    let man = directory.path().join("man");
    fs::write(&man, "#!/bin/sh\necho shown by man \"$@\"\ncat > /dev/null\n").expect("written");
    fs::set_permissions(&man, fs::Permissions::from_mode(0o755)).expect("executable");
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let mut script = Command::new("script");
    script.args(["-qec", &format!("{BINARY} man backend drain"), "/dev/null"]).env("PATH", path);
    let shown = Ended::of(script.stdin(Stdio::null()).output().expect("`script` runs"));
    assert!(shown.out.contains("shown by man -l -"), "{shown:?}");
    fs::write(&man, "#!/bin/sh\ncat > /dev/null\nexit 3\n").expect("written");
    let failed = Ended::of(script.output().expect("`script` runs"));
    assert!(failed.out.contains("cannot run `man` (exit status: 3)"), "{failed:?}");
    assert!(failed.out.contains(".SH"), "the page is printed as it is: {failed:?}");
    let plain = xdplb(&["man", "backend", "drain"]);
    assert!(plain.out.contains(".SH EXAMPLES"), "{plain:?}");
}
