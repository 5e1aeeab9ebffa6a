//! Notifications of changes of state, and the log's lines.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    site::{Site, backend},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::watched::{get, site, watched};

/// Programs in the testbed's directory, which write what they are told to a directory that `checks.user` may
/// write to.
struct Programs<'a>(&'a Testbed);

impl Programs<'_> {
    /// Makes a program that runs this script, and returns its table.
    fn table(&self, name: &str, script: &str, rest: &str) -> String {
        set_mode(self.0.directory(), 0o755);
        let written = self.written(name);
        let folder = written.parent().expect("a folder");
        fs::create_dir_all(folder).expect("made");
        set_mode(folder, 0o777);
        let program = self.0.directory().join(name);
        let script = format!("#!/bin/sh\nexec 3>>{}\n{script}\n", written.display());
        fs::write(&program, script).expect("written");
        set_mode(&program, 0o755);
        format!("[[notify]]\nprogram = \"{}\"\n{rest}\n", program.display())
    }

    fn written(&self, name: &str) -> PathBuf {
        self.0.directory().join("told").join(name)
    }

    /// Returns the objects that a program has written.
    fn told(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.written(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Returns events and backends that a program was told.
    fn events(&self, name: &str) -> Vec<(String, String)> {
        let word = |object: &Value, key: &str| object[key].as_str().unwrap_or_default().to_owned();
        self.told(name).iter().map(|one| (word(one, "event"), word(one, "backend"))).collect()
    }
}

/// Returns the configuration with these tables.
fn with(testbed: &Testbed, tables: &str) -> String {
    watched(testbed, "") + tables
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

fn log(testbed: &Testbed) -> String {
    fs::read_to_string(testbed.directory().join("log")).expect("a log")
}

fn sample(testbed: &Testbed, result: &str) -> u64 {
    let name = format!("xdplb_notifications_total{{result=\"{result}\"}} ");
    let text = get(testbed, "/metrics", &[]).body;
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("a sample").parse().expect("a number")
}

#[test]
#[ignore = "needs root"]
fn a_program_is_told_of_changes_but_not_of_what_was_so_before() {
    let Site { balancer, mut servers, testbed } = site("");
    let programs = Programs(&testbed);
    let page = programs.table("page", "cat >&3", "");
    let down = programs.table("down", "cat >&3", "events = [\"service-down\"]");
    balancer.reload(&with(&testbed, &format!("{page}{down}")));
    balancer.wait_for("the recipients", || log(&testbed).contains("configuration file reloaded"));
    let first = backend(&testbed, 0).to_string();
    drop(servers.remove(0));
    let told = |event: &str| (event.to_owned(), first.clone());
    balancer.wait_for("a notification", || programs.events("page").contains(&told("backend-down")));
    let line = format!("backend is down service=web backend={first} reason=");
    assert_eq!(log(&testbed).matches(&line).count(), 1, "{}", log(&testbed));
    let before = programs.told("page");
    balancer.stop(Signal::SIGTERM);
    let text = with(&testbed, &format!("{page}{down}"));
    let balancer = Balancer::start(&testbed, &text);
    balancer.wait_for_ring_of(2);
    let second = backend(&testbed, 1).to_string();
    balancer.done(&["backend", "drain", "web", &second]);
    balancer.wait_for("a notification of the drain", || {
        programs.events("page").contains(&("drain-started".to_owned(), second.clone()))
    });
    let events = programs.events("page");
    let again = events[before.len()..].iter().map(|(event, _)| event.as_str());
    let of_backends = ["drain-started", "config-changed"];
    let others: Vec<_> = again.filter(|event| !of_backends.contains(event)).collect();
    assert_eq!(others, [""; 0], "the restart has changed nothing");
    assert_eq!(programs.told("down"), [Value::Null; 0], "the service is not down");
    drop(servers);
    balancer.wait_for("the service to be down", || programs.told("down").len() == 1);
    balancer.wait_for("all deliveries", || sample(&testbed, "delivered") >= 3);
    assert_eq!((sample(&testbed, "failed"), sample(&testbed, "dropped")), (0, 0));
    let metric = programs.told("down").remove(0);
    assert_eq!((&metric["service"], &metric["level"]), (&"web".into(), &"error".into()));
}

/// The loop does not wait for a program that hangs, and ends soon.
#[test]
#[ignore = "needs root"]
fn recipients_that_hang_or_fail_hold_nothing_up_and_may_be_removed() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let programs = Programs(&testbed);
    let hanging = programs.table("hanging", "sleep 600", "timeout = \"1m\"");
    let failing = programs.table("failing", "exit 7", "retries = 0");
    let well = programs.table("well", "cat >&3", "");
    balancer.reload(&with(&testbed, &format!("{hanging}{failing}{well}")));
    balancer.wait_for("the recipients", || log(&testbed).contains("configuration file reloaded"));
    let address = backend(&testbed, 0).to_string();
    for nth in 0..60 {
        let verb = if nth % 2 == 0 { "drain" } else { "enable" };
        balancer.done(&["backend", verb, "web", &address]);
    }
    balancer.wait_for("all changes", || programs.told("well").len() >= 120);
    balancer.wait_for("failures", || sample(&testbed, "failed") >= 120);
    balancer.wait_for("what found no room", || sample(&testbed, "dropped") > 0);
    let log_now = log(&testbed);
    for (line, recipient) in
        [("cannot be delivered", "failing"), ("100 wait for the recipient already", "hanging")]
    {
        let lines = log_now.lines().filter(|one| one.contains(line) && one.contains(recipient));
        assert_eq!(lines.count(), 1, "{line}: {log_now}");
    }
    balancer.reload(&with(&testbed, &well));
    balancer.wait_for("no other recipient", || sample(&testbed, "dropped") > 100);
    balancer.reload(&with(&testbed, &format!("{hanging}{well}")));
    balancer.wait_for("it again", || log(&testbed).matches("file reloaded").count() == 3);
    balancer.done(&["backend", "drain", "web", &address]);
    balancer.stop(Signal::SIGTERM);
    let lost = "were not delivered before the end recipient=";
    assert!(log(&testbed).contains(lost), "{}", log(&testbed));
}

#[test]
#[ignore = "needs root"]
fn only_root_says_what_is_run() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let programs = Programs(&testbed);
    let page = programs.table("page", "cat >&3", "");
    let program = testbed.directory().join("page");
    let file = testbed.directory().join("other.toml");
    let said = |verb: &str| {
        fs::write(&file, with(&testbed, &page)).expect("written");
        let output = balancer.xdplb(&[verb, "-c", &file.display().to_string()]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    set_mode(&program, 0o757);
    let expected = format!("users other than root can write to {}", program.display());
    assert!(said("check").contains(&expected), "{}", said("check"));
    balancer.reload(&with(&testbed, &page));
    balancer.wait_for("a refusal", || log(&testbed).contains("configuration file not reloaded"));
    assert!(log(&testbed).contains(&expected), "{}", log(&testbed));
    set_mode(&program, 0o755);
    fs::write(&file, with(&testbed, &page)).expect("written");
    // As a member of the group may.
    set_mode(balancer.socket(), 0o666);
    let mut member = Command::new("setpriv");
    member.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    let apply = balancer.command(&["apply", "-c", &file.display().to_string()]);
    member.arg(apply.get_program()).args(apply.get_args());
    member.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = member.output().expect("setpriv");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("only root may change `notify`"), "{said}");
    balancer.stop(Signal::SIGTERM);
    set_mode(&program, 0o757);
    let balancer = Balancer::start(&testbed, &with(&testbed, &page));
    balancer.wait_for_ring_of(3);
    assert!(log(&testbed).contains(&expected), "forwarding is worth more: {}", log(&testbed));
}
