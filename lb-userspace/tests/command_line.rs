//! The binary's exit codes and what it prints, with a daemon that only pretends.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use lb_userspace::{
    api,
    config::{self, Origin},
    control::{
        self, BackendView, Change, Plan, Refusal, Reply, Request, Running, ServiceView,
        VersionDetail, VersionView,
    },
    desired::{Document, Step, steps},
    model::{Admin, Health, Policy, Protocol},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
};

/// Of the document.
const VERSION: u64 = 7;

const BINARY: &str = env!("CARGO_BIN_EXE_xdplb");

/// A daemon that has one service and counts `active` connections less at every look.
struct Pretender {
    directory: TempDir,
    _runtime: Runtime,
    _stopping: watch::Sender<()>,
}

impl Pretender {
    fn with_connections(active: u64) -> Self {
        let directory = TempDir::new().expect("a directory");
        let runtime = Runtime::new().expect("a runtime");
        let (stopping, stopped) = watch::channel(());
        let (handle, requests) = control::channel(8);
        let listener = runtime.block_on(api::listen(&directory.path().join("socket")));
        runtime.spawn(api::serve(listener.expect("listens"), handle, stopped));
        runtime.spawn(answer(requests, active));
        Self { directory, _runtime: runtime, _stopping: stopping }
    }

    fn xdplb(&self, arguments: &[&str]) -> Ended {
        xdplb(&[&["--socket", &self.socket()], arguments].concat())
    }

    fn socket(&self) -> String {
        self.directory.path().join("socket").display().to_string()
    }
}

async fn answer(mut requests: mpsc::Receiver<Request>, mut active: u64) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Services(reply) => {
                give(reply, Ok(versioned(vec![web(active)])));
                active = active.saturating_sub(1);
            }
            Request::Service(name, reply) if name == "web" => {
                give(reply, Ok(versioned(web(active))));
                active = active.saturating_sub(1);
            }
            Request::Service(name, reply) => {
                give(reply, Err(Refusal::NotFound(format!("there is no service {name}"))));
            }
            Request::Change(Change::AddBackend { .. }, _, reply) => {
                give(reply, Err(Refusal::Conflict("it is there already".to_owned())));
            }
            Request::Change(Change::AddService { name, .. }, _, reply) => {
                give(reply, Err(Refusal::Invalid(format!("{name}{HOSTILE}"))));
            }
            Request::Change(Change::RemoveService { .. }, _, reply) => {
                give(reply, Ok(versioned(None)));
            }
            Request::Change(change, _, reply) => {
                let steps = if is_enabled(&change) { Vec::new() } else { vec![step()] };
                give(reply, Ok(versioned(Some(ServiceView { steps, ..web(active) }))));
            }
            Request::History(reply) => give(reply, Ok(vec![version()])),
            Request::Plan(_, reply) | Request::Apply(_, reply) => give(reply, Ok(plan())),
            Request::Version(number, reply) => {
                let view = VersionView { version: number, by: "alice".to_owned(), ..version() };
                let steps = Some(steps(&Document::default(), &document()));
                give(reply, Ok(VersionDetail { view, steps, document: document() }));
            }
            Request::Running(reply) => {
                let text = "interfaces = [\"eth0\"]\nsnat_ports = \"2000-3000\"".to_owned();
                let config = config::read("lb.toml".to_owned(), text).expect("valid").config;
                give(reply, Ok(Running { version: 1, config, document: document() }));
            }
            Request::Rollback(_, _, reply) => give(reply, Err(Refusal::Conflict(HOSTILE.into()))),
            _ => {}
        }
    }
}

/// That a change makes no difference.
fn is_enabled(change: &Change) -> bool {
    matches!(change, Change::SetBackend { settings, .. } if settings.admin == Some(Admin::Enabled))
}

fn step() -> Step {
    let step = json!({
        "kind": "change", "service": "web", "key": "scheduler", "from": "round-robin", "to": "maglev",
    });
    serde_json::from_value(step).expect("a step")
}

/// So many connections has a backend whose check says what is hostile.
const FORGED: u64 = 1 << 40;

/// What no terminal and no log is to get as it is.
const HOSTILE: &str = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}\r\x7f\nforged";

fn version() -> VersionView {
    let at = "2026-01-02T03:04:05Z".parse().expect("a time");
    VersionView { version: 1, at, by: HOSTILE.to_owned(), what: HOSTILE.to_owned() }
}

/// A service whose check sends a password.
fn document() -> Document {
    let health = json!({ "type": "send-expect", "send": "AUTH secret", "contains": "OK" });
    let backend = json!([{ "address": "10.0.0.11:80", "weight": 5 }]);
    let keys = json!({ "vip": "203.0.113.10:80", "health": health, "backend": backend });
    let keys = keys.as_object().expect("keys");
    Document::of([config::service("web", keys, &Policy::default()).expect("valid")])
}

#[test]
fn a_version_is_shown_whole() {
    let daemon = Pretender::with_connections(0);
    let shown = daemon.xdplb(&["history", "7"]).out;
    for part in [
        "version 7, 2026-01-02 03:04:05 UTC, by alice: ",
        "+ web: 10.0.0.11:80: weight 5",
        "[[service]]\nname = \"web\"\nvip = \"203.0.113.10:80\"\n",
        "[[service.backend]]\naddress = \"10.0.0.11:80\"\nweight = 5\n",
        "(hidden)",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(!shown.contains("secret"), "{shown}");
    let json: Value =
        serde_json::from_str(&daemon.xdplb(&["history", "7", "-o", "json"]).out).expect("JSON");
    assert_eq!((&json["version"], &json["by"]), (&json!(7), &json!("alice")));
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(2), "{json}");
    assert!(json["services"].as_str().is_some_and(|text| text.contains("[[service]]")), "{json}");
}

#[test]
fn what_is_exported_is_a_file_that_makes_the_same() {
    let daemon = Pretender::with_connections(0);
    let ended = daemon.xdplb(&["export"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    if !nix::unistd::geteuid().is_root() {
        assert!(ended.out.contains("(hidden)") && !ended.out.contains("secret"), "{ended:?}");
        return;
    }
    let config = config::read("export".to_owned(), ended.out).expect("valid").config;
    assert_eq!(Document::of(config.services.clone()), document());
    assert_eq!(config.snat_ports, 2_000..=3_000);
}

fn plan() -> Plan {
    Plan {
        version: 1,
        steps: vec![step()],
        refused: Some(HOSTILE.to_owned()),
        warnings: vec![HOSTILE.to_owned()],
    }
}

fn versioned<T>(value: T) -> control::Versioned<T> {
    control::Versioned { version: Some(VERSION), value }
}

fn give<T>(reply: Reply<T>, answer: Result<T, Refusal>) {
    reply.send(answer).ok();
}

fn web(active_connections: u64) -> ServiceView {
    let backend = BackendView {
        address: "10.0.0.11:80".parse().expect("an address"),
        weight: 5,
        backup: true,
        admin: Admin::Draining,
        drain_until: None,
        health: Health::Up,
        since: "2026-01-02T03:04:05Z".parse().expect("a time"),
        detail: if active_connections > FORGED / 2 { HOSTILE } else { "L4OK" }.to_owned(),
        refusing: false,
        in_ring: false,
        origin: Some(Origin::Command),
        last_check: None,
        unusable: Some("draining".to_owned()),
        effective_weight: 0.0,
        slow_start: None,
        active_connections,
        connections_total: 17,
        packets_total: 1_234,
        bytes_total: 56_789,
    };
    ServiceView {
        name: "web".to_owned(),
        vip: "203.0.113.10:80".parse().expect("an address"),
        protocol: Protocol::Tcp,
        policy: Policy::default(),
        origins: [("scheduler".to_owned(), Origin::File)].into(),
        warnings: Vec::new(),
        steps: Vec::new(),
        backends: vec![backend],
    }
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn xdplb(arguments: &[&str]) -> Ended {
    let ended = Command::new(BINARY).args(arguments).env_remove("RUST_LOG").output();
    Ended::of(ended.expect("runs"))
}

impl Ended {
    fn of(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

fn file(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("lb.toml");
    fs::write(&path, text).expect("written");
    path
}

#[test]
fn check_says_by_its_exit_code_what_it_found() {
    let directory = TempDir::new().expect("a directory");
    let cases = [
        ("interfaces = [\"eth0\"]", 0, ""),
        ("interfaces = []", 2, "lb.toml:1:14"),
        ("interfaces = [\"eth0\"]\napi.http = \"[::1]:80\"", 0, "warning: `api.http`"),
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
fn fed(daemon: &Pretender, verb: &str, text: &str) -> [Ended; 2] {
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
fn a_file_may_come_by_standard_input_or_a_pipe() {
    let daemon = Pretender::with_connections(0);
    for verb in ["check", "diff", "apply"] {
        for ended in fed(&daemon, verb, "interfaces = [\"eth0\"]\n") {
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
fn check_says_what_the_flow_table_takes_and_what_it_may() {
    let directory = TempDir::new().expect("a directory");
    let check = |limits: &str| {
        let text = format!("interfaces = [\"eth0\"]\n{limits}");
        xdplb(&["check", "-c", &file(&directory, &text).display().to_string()])
    };
    let ended = check("");
    assert!(ended.out.contains("flow table: 1000000 connections, 256 MB\n"), "{ended:?}");
    let ended = check("limits.flows = 16_000_000");
    assert!(ended.out.contains("flow table: 16000000 connections, 4096 MB\n"), "{ended:?}");
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
fn without_a_daemon_one_line_says_how_to_start_it() {
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
fn wrong_usage_is_2() {
    let daemon = Pretender::with_connections(0);
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
        &["backend", "drain", "web"],
        &["backend", "drain", "web", "10.0.0.11:80", "--all-services", "10.0.0.11"],
        &["diff", "-c", &invalid],
        &["apply", "-c", &invalid],
        &["backend", "drain", "web", "10.0.0.11:80", "--deadline", "99999years"],
        &["backend", "set", "web", "10.0.0.11:80", "--weight", "70000"],
        &["service", "add", "web", "--vip", "nonsense"],
    ] {
        let ended = daemon.xdplb(wrong);
        assert_eq!(ended.code, Some(2), "{wrong:?}: {ended:?}");
    }
}

#[test]
fn a_filter_that_means_nothing_is_2_and_names_the_fix() {
    let cases = [
        ("--client", "web", "write ADDRESS, ADDRESS:PORT or NETWORK/LENGTH"),
        ("--backend", "10.0.0.11", "the port is missing"),
        ("--backend", "db.example:80", "names are not looked up"),
        ("--state", "open", "half-open, refused, answered, established, closing, closed"),
        ("--idle-over", "5", "5 has no unit, expected one, as in \"5s\""),
        ("--idle-over", "-5s", "-5s is negative"),
        ("--limit", "few", "give a number of at least 0"),
        ("--limit", "-1", "give a number of at least 0"),
    ];
    for (filter, value, word) in cases {
        let ended = xdplb(&["conns", filter, value]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains(filter) && ended.err.contains(word), "{ended:?}");
    }
}

#[test]
fn what_the_daemon_refuses_is_1_and_one_line() {
    let daemon = Pretender::with_connections(0);
    let ended = daemon.xdplb(&["backend", "add", "web", "10.0.0.11:80"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), "xdplb: it is there already\n"));
    let ended = daemon.xdplb(&["service", "show", "web?"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), "xdplb: there is no service web?\n"));
}

#[test]
fn services_and_backends_are_printed_three_ways() {
    let daemon = Pretender::with_connections(0);
    let table = daemon.xdplb(&["service", "list"]).out;
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["web", "203.0.113.10:80/tcp", "nat", "round-robin"], "{table}");
    let row = &lines[2];
    assert_eq!(row[..5], ["->", "10.0.0.11:80", "5", "draining", "up"], "{table}");
    assert_eq!(row[row.len() - 3..], ["0", "17", "L4OK"], "{table}");
    let wide = daemon.xdplb(&["service", "show", "web", "-o", "wide"]).out;
    assert!(wide.contains("56789") && wide.contains("2026-01-02 03:04:05"), "{wide}");
    let settings: Vec<Vec<_>> =
        wide.lines().map(|line| line.split_whitespace().collect()).collect();
    for setting in [
        &["scheduler", "round-robin", "file"][..],
        &["health.interval", "2s"],
        &["backend", "10.0.0.11:80", "weight", "5,", "backup", "command"],
    ] {
        assert!(settings.iter().any(|row| row == setting), "{setting:?}: {wide}");
    }
    let json = daemon.xdplb(&["service", "list", "-o", "json"]).out;
    let services: Vec<ServiceView> = serde_json::from_str(&json).expect("the shape");
    assert_eq!(services, [web(0)]);
    let json = daemon.xdplb(&["backend", "list", "-o", "json"]).out;
    let backends: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(backends[0]["service"], "web");
    assert_eq!(backends[0]["address"], "10.0.0.11:80");
}

#[test]
fn draining_waits_for_the_last_connection_but_not_for_ever() {
    let drain = ["backend", "drain", "web", "10.0.0.11:80", "--wait", "--deadline"];
    let idle = Pretender::with_connections(0).xdplb(&[&drain[..], &["1s"]].concat());
    assert_eq!(idle.code, Some(0), "{idle:?}");
    let ending = Pretender::with_connections(2).xdplb(&[&drain[..], &["20s"]].concat());
    assert_eq!(ending.code, Some(0), "{ending:?}");
    let busy = Pretender::with_connections(1_000).xdplb(&[&drain[..], &["1s"]].concat());
    assert_eq!(busy.code, Some(1), "{busy:?}");
    assert!(busy.err.contains("connections after its deadline"), "{busy:?}");
    let json =
        Pretender::with_connections(1_000).xdplb(&[&drain[..], &["1s", "-o", "json"]].concat());
    assert_eq!((json.code, &parsed(&json.err)["exit_code"]), (Some(1), &json!(1)), "{json:?}");
    let outcome = parsed(&json.out);
    assert_eq!(outcome["changed"], true, "the change was made: {outcome}");
    assert!(outcome["until"].is_string(), "{outcome}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let daemon = Pretender::with_connections(0);
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
fn the_exit_code_is_the_same_when_nobody_reads_the_errors() {
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

fn assert_printable(verb: &[&str], ended: &Ended) {
    for text in [&ended.out, &ended.err] {
        let is_raw = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(is_raw), "{verb:?}: {text:?}");
        assert!(!text.lines().any(|line| line.trim_start() == "forged"), "{verb:?}: {text:?}");
    }
}

#[test]
fn what_a_daemon_says_reaches_no_terminal_raw() {
    let daemon = Pretender::with_connections(FORGED);
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
        &["service", "add", HOSTILE],
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
fn arguments_and_paths_reach_no_terminal_raw() {
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
fn usage_in_colour_repeats_nothing_raw() {
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

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_output_format_may_stand_before_the_verb_and_after_it() {
    let daemon = Pretender::with_connections(0);
    for verb in [
        &["-o", "json", "service", "list"][..],
        &["service", "-o", "json", "list"],
        &["service", "list", "--output=json"],
    ] {
        let ended = daemon.xdplb(verb);
        assert_eq!(parsed(&ended.out)[0]["name"], "web", "{verb:?}: {ended:?}");
    }
}

#[test]
fn changes_say_in_json_whether_they_changed_anything() {
    let daemon = Pretender::with_connections(0);
    let place = ["web", "10.0.0.11:80"];
    for (verb, is_changed) in [
        (&["service", "set", "web", "--scheduler", "maglev"][..], true),
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
fn a_dry_run_shows_what_would_change_as_diff_does() {
    let daemon = Pretender::with_connections(0);
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
fn a_dry_run_that_the_daemon_would_refuse_ends_as_the_change_would() {
    let (daemon, directory) =
        (Pretender::with_connections(0), TempDir::new().expect("a directory"));
    let path = file(&directory, "interfaces = [\"eth0\"]\n").display().to_string();
    let json = ["-c", &path, "-o", "json"];
    let refused = daemon.xdplb(&[&["apply", "--dry-run"][..], &json].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let outcome = parsed(&refused.out);
    assert_eq!((&outcome["changed"], &outcome["dry_run"]), (&json!(false), &json!(true)));
    assert!(outcome["refused"].is_string() && outcome["steps"].is_array(), "{outcome}");
    let diff = daemon.xdplb(&[&["diff"][..], &json].concat());
    assert_eq!(parsed(&diff.out), outcome, "one shape for one answer");
    let shown = daemon.xdplb(&["apply", "--dry-run", "-c", &path]);
    assert_eq!(shown.code, Some(2), "{shown:?}");
    assert!(shown.err.contains("`apply` would be refused"), "{shown:?}");
}

#[test]
fn errors_are_problem_documents_where_json_is_asked_for() {
    let daemon = Pretender::with_connections(0);
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
fn check_lists_mistakes_and_warnings_with_their_places_in_json() {
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
    let (code, report, _) = check("interfaces = [\"eth0\"]\napi.http = \"[::1]:80\"");
    assert_eq!((code, &report["valid"]), (Some(0), &json!(true)), "{report}");
    let warnings = report["findings"].as_array().expect("a list");
    assert!(
        warnings.iter().any(|one| one["severity"] == "warning" && one["key"] == "api.http"),
        "{report}"
    );
    assert_eq!(report["sizes"]["services"], 0, "{report}");
}

/// What a shell is offered for the last of these words.
fn offered(daemon: &Pretender, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(BINARY);
    command.args([&["--", "xdplb"], words].concat());
    command.env("XDPLB_COMPLETE", "fish").env("XDPLB_SOCKET", daemon.socket());
    let ended = Ended::of(command.output().expect("runs"));
    assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
    ended.out.lines().map(|line| line.split('\t').next().unwrap_or(line).to_owned()).collect()
}

#[test]
fn completions_know_words_and_names() {
    let daemon = Pretender::with_connections(0);
    for (words, expected) in [
        (&["service", "show", ""][..], "web"),
        (&["stats", ""], "web"),
        (&["service", "add", "api", "--scheduler", ""], "maglev"),
        (&["service", "add", "api", "--mode", ""], "nat"),
        (&["backend", "drain", "web", ""], "10.0.0.11:80"),
        (&["backend", "drain", "--all-services", ""], "10.0.0.11"),
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

#[test]
fn manual_pages_go_through_man_on_a_terminal_only() {
    use std::os::unix::fs::PermissionsExt as _;
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
