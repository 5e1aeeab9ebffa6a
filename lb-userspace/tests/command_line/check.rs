//! `check`, and files that are read by standard input or a pipe.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{BINARY, Ended, daemon::FakeDaemon, file, parsed, xdplb};

#[test]
fn the_exit_code_of_check_tells_errors_and_warnings() {
    let directory = TempDir::new().expect("a directory");
    let cases = [
        ("interfaces = [\"eth0\"]", 0, ""),
        ("interfaces = []", 2, "lb.toml:1:14"),
        (
            "interfaces = [\"eth0\"]\napi.http_token = \"0123456789abcdef\"",
            0,
            "warning: there is no `api.http`",
        ),
    ];
    for (text, code, word) in cases {
        let path = file(&directory, text).display().to_string();
        for verb in [&["check", "-c", &path][..], &["run", "--check", "-c", &path]] {
            let ended = xdplb(verb);
            assert_eq!(ended.code, Some(code), "{ended:?}");
            assert!(ended.err.contains(word), "{ended:?}");
        }
        let strict = xdplb(&["check", "--strict", "-c", &path]);
        let has_warnings = strict.err.contains("warning");
        assert_eq!(strict.code, Some(if has_warnings { 4 } else { code }), "{strict:?}");
    }
}

/// Runs a verb with this text at its standard input, and once more with it in a named pipe.
fn fed(daemon: &FakeDaemon, verb: &str, text: &str) -> [Ended; 2] {
    let pipe = daemon.directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let run = |input: Stdio, file: &str| {
        let command = Command::new(BINARY)
            .args(["--socket", &daemon.socket(), verb, "-c", file])
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        command.expect("runs")
    };
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let at_input = run(reader.into(), "-");
    writer.write_all(text.as_bytes()).expect("written");
    drop(writer);
    let at_input = at_input.wait_with_output().expect("ends");
    let named = run(Stdio::null(), &pipe.display().to_string());
    fs::write(&pipe, text).expect("written");
    let named = named.wait_with_output().expect("ends");
    fs::remove_file(&pipe).expect("removed");
    [at_input, named].map(Ended::of)
}

#[test]
fn a_file_is_read_from_standard_input_or_a_pipe() {
    let daemon = FakeDaemon::with_connections(0);
    for verb in ["check", "diff", "apply"] {
        for ended in fed(&daemon, verb, "interfaces = [\"eth1\"]\n") {
            let code = if verb == "diff" { 4 } else { 0 };
            assert_eq!(ended.code, Some(code), "{verb}: {ended:?}");
        }
        let [at_input, named] = fed(&daemon, verb, "interfaces = []\n");
        assert!(at_input.err.contains("--> <stdin>:1:14"), "{verb}: {at_input:?}");
        assert!(named.err.contains("/pipe:1:14"), "{verb}: {named:?}");
        assert_eq!((at_input.code, named.code), (Some(2), Some(2)), "{verb}");
    }
    let run = xdplb(&["run", "-c", "-"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.err.contains("give a file"), "{run:?}");
}

#[test]
fn check_warns_of_a_file_with_secrets_that_others_can_read() {
    let directory = TempDir::new().expect("a directory");
    let url = "[[notify]]\nurl = \"https://hooks.example/secret\"";
    let text = format!("interfaces = [\"eth0\"]\n{url}\n");
    let path = file(&directory, &text);
    for (mode, is_warned) in [(0o644, true), (0o640, false)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
        let ended = xdplb(&["check", "-c", &path.display().to_string()]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let said = "all users of this host can read the file with this secret";
        assert_eq!(ended.err.contains(said), is_warned, "{ended:?}");
    }
}

#[test]
fn check_prints_the_sizes_of_flow_table_and_maps() {
    let directory = TempDir::new().expect("a directory");
    let check = |limits: &str| {
        let text = format!("interfaces = [\"eth0\"]\n{limits}");
        xdplb(&["check", "-c", &file(&directory, &text).display().to_string()])
    };
    let ended = check("");
    assert!(ended.out.contains("flow table: 1000000 connections, 96 MB\n"), "{ended:?}");
    let ended = check("limits.flows = 16_000_000");
    assert!(ended.out.contains("flow table: 16000000 connections, 1536 MB\n"), "{ended:?}");
    let ended = check("limits.accounting = true");
    let expected = "flow table: 1000000 connections, 144 MB with their accounts\n";
    assert!(ended.out.contains(expected), "{ended:?}");
    let ended = check("limits.backends = 100_000");
    assert!(ended.out.contains("maps: 4096 services, 100000 backends, "), "{ended:?}");
    for beyond in ["limits.flows = 0", "limits.flows = 16_000_001"] {
        let ended = check(beyond);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains("limits.flows is 1 to 16000000"), "{ended:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let ended = xdplb(&["check", "-c", "/nowhere/lb.toml"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.starts_with("error: cannot read /nowhere/lb.toml: No such"), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
}

#[test]
fn json_of_check_lists_errors_and_warnings_with_their_places() {
    let directory = TempDir::new().expect("a directory");
    let check = |text: &str| {
        let path = file(&directory, text).display().to_string();
        let ended = xdplb(&["check", "-o", "json", "-c", &path]);
        assert!(ended.err.is_empty(), "{ended:?}");
        (ended.code, parsed(&ended.out), path)
    };
    let (code, report, path) = check("interfaces = []\n[limits]\nflows = 0\n");
    assert_eq!((code, &report["valid"]), (Some(2), &json!(false)), "{report}");
    let first = &report["findings"][0];
    assert_eq!(first["file"], path.as_str(), "{report}");
    assert_eq!(
        [&first["severity"], &first["line"], &first["column"], &first["key"], &first["message"]],
        [
            &json!("error"),
            &json!(1),
            &json!(14),
            &json!("interfaces"),
            &json!("no interface is listed")
        ],
    );
    assert_eq!(report["findings"][1]["key"], "limits.flows", "{report}");
    let (code, report, _) = check("interfaces = [\"eth0\"]\napi.http_token = \"0123456789abcdef\"");
    assert_eq!((code, &report["valid"]), (Some(0), &json!(true)), "{report}");
    let warnings = report["findings"].as_array().expect("a list");
    assert!(
        warnings.iter().any(|one| one["severity"] == "warning" && one["key"] == "api.http_token"),
        "{report}"
    );
    assert_eq!(report["sizes"]["services"], 0, "{report}");
}
