//! Users of the daemon's socket cannot make it run programs, read files or show passwords that are
//! root's.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use lb_model::Health;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::{BINARY, Balancer},
    site::{Arms, Site, backend, empty_testbed, site, text},
};
use nix::sys::signal::Signal;

/// A user without any rights except those of the socket's group.
const MEMBER: u32 = 65_534;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Lets the member use the socket, as its group may.
fn admit_member(balancer: &Balancer) {
    set_mode(balancer.socket(), 0o666);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o777
}

/// Runs a command of `xdplb` as the member.
fn as_member(balancer: &Balancer, arguments: &[&str]) -> Output {
    let id = MEMBER.to_string();
    Command::new("setpriv")
        .args(["--reuid", &id, "--regid", &id, "--clear-groups", BINARY, "--socket"])
        .arg(balancer.socket())
        .args(arguments)
        .output()
        .expect("setpriv of util-linux")
}

fn is_refused(balancer: &Balancer, arguments: &[&str], word: &str) -> String {
    let output = as_member(balancer, arguments);
    let said = said(&output);
    let is_refused = matches!(output.status.code(), Some(1 | 2));
    assert!(is_refused && said.contains(word), "{arguments:?}: {said}");
    said
}

/// Makes a directory that everybody may write to.
fn open_directory(testbed: &Testbed, name: &str) -> PathBuf {
    let directory = testbed.directory().join(name);
    fs::create_dir(&directory).expect("made");
    set_mode(&directory, 0o777);
    directory
}

fn write_open(path: &Path, text: &str) -> String {
    fs::write(path, text).expect("written");
    set_mode(path, 0o644);
    path.display().to_string()
}

/// Returns the configuration with a program as the check of `web`.
fn with_program(testbed: &Testbed, script: &str) -> String {
    let check = format!("type = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n");
    text(testbed, &[1; 3]).replace("[service.health]", &format!("[service.health]\n{check}"))
}

#[test]
#[ignore = "needs root"]
fn members_of_the_group_have_no_program_run() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    admit_member(&balancer);
    let directory = open_directory(&testbed, "open");
    let loot = directory.join("loot");
    let steal = format!("id -u > {}", loot.display());
    let command = format!("command=[\"/bin/sh\", \"-c\", {steal:?}]");
    let word = "only root may name a program to run";
    let vip_81 = format!("{}:81", testbed.vip());
    let check = ["--health", "type=exec", "--health", &command];
    let versions = || balancer.done(&["history"]).lines().count();
    let before = versions();
    is_refused(&balancer, &[&["service", "set", "web"][..], &check].concat(), word);
    is_refused(&balancer, &[&["service", "add", "x", "--vip", &vip_81][..], &check].concat(), word);
    let file = write_open(&directory.join("lb.toml"), &with_program(&testbed, &steal));
    for verb in ["apply", "diff"] {
        is_refused(&balancer, &[verb, "-c", &file], word);
    }
    let defaults = text(&testbed, &[1; 3]).replace(
        "[[service]]",
        &format!("[defaults.health]\ntype = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", {steal:?}]\n[[service]]"),
    );
    // The service itself sets another type of check.
    let defaults = defaults.replace("[service.health]", "[service.health]\ntype = \"tcp\"");
    let file_of_defaults = write_open(&directory.join("defaults.toml"), &defaults);
    is_refused(&balancer, &["apply", "-c", &file_of_defaults], word);
    let other_user = text(&testbed, &[1; 3]) + "[checks]\nuser = \"daemon\"\n";
    let file_of_user = write_open(&directory.join("user.toml"), &other_user);
    is_refused(&balancer, &["apply", "-c", &file_of_user], "only root may change `checks.user`");
    assert_eq!(versions(), before, "nothing was changed");

    // Programs that root has named may be kept and used by others, until root removes them.
    let set = ["service", "set", "web", "--health", "type=exec", "--health", &command];
    balancer.done(&set);
    balancer.wait_for("the program of root's", || {
        fs::read_to_string(&loot).is_ok_and(|text| text.ends_with('\n'))
    });
    assert_ne!(fs::read_to_string(&loot).expect("written").trim(), "0", "not as root");
    let first = backend(&testbed, 0).to_string();
    let kept = as_member(&balancer, &["backend", "set", "web", &first, "--weight", "3"]);
    assert!(kept.status.success(), "{}", said(&kept));
    let kept = as_member(&balancer, &["service", "set", "web", "--scheduler", "random"]);
    assert!(kept.status.success(), "{}", said(&kept));
    balancer.done(&["service", "set", "web", "--health", "type=tcp"]);
    is_refused(&balancer, &["rollback"], word);
}

#[test]
#[ignore = "needs root"]
fn members_of_the_group_take_neither_settings_nor_ports_of_the_host() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    admit_member(&balancer);
    let directory = open_directory(&testbed, "open");
    let interfaces = balancer.status().interfaces;
    let settings = text(&testbed, &[1; 3]);
    for (key, other) in [
        ("interfaces", settings.replace(&format!("{:?}", testbed.interfaces()), "[\"lo\"]")),
        ("snat_ports", format!("snat_ports = \"22-22\"\n{settings}")),
    ] {
        let file = write_open(&directory.join(format!("{key}.toml")), &other);
        for verb in ["apply", "diff"] {
            let word = format!("only root may change `{key}`");
            is_refused(&balancer, &[verb, "-c", &file], &word);
        }
    }
    assert_eq!(balancer.status().interfaces, interfaces);

    let vip = SocketAddr::from((testbed.vip(), 2_222));
    let server = testbed.balancer().run(|| TcpListener::bind(vip)).expect("the namespace is there");
    let _server = server.expect("the balancer has the address");
    let (vip, word) = (vip.to_string(), format!("listens on {vip} on this host"));
    let add = ["service", "add", "ssh", "--vip", &vip, "--health", "type=none"];
    is_refused(&balancer, &add, &word);
    let root = balancer.xdplb(&add);
    assert!(!root.status.success() && said(&root).contains(&word), "{}", said(&root));
    let other = settings.replace(&format!("{}:80", testbed.vip()), &vip);
    let file = write_open(&directory.join("vip.toml"), &other);
    for verb in ["apply", "diff"] {
        let root = balancer.xdplb(&[verb, "-c", &file]);
        assert!(said(&root).contains(&word), "{verb}: {}", said(&root));
    }
    assert_eq!(balancer.services().len(), 1, "nothing has changed");
    is_refused(&balancer, &[&add[..], &["--force"]].concat(), &word);
    balancer.done(&[&add[..], &["--force"]].concat());
    assert_eq!(balancer.services().len(), 2);
}

/// The session's server listens at all addresses, which alone only causes a warning.
#[test]
#[ignore = "needs root"]
fn a_vip_over_which_a_session_has_come_is_taken_by_force_only() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let server = testbed.balancer().run(|| TcpListener::bind("0.0.0.0:2222"));
    let _server = server.expect("the namespace is there").expect("free");
    let vip = SocketAddr::from((testbed.vip(), 2_222));
    let session = testbed.clients()[0].namespace.run(|| TcpStream::connect(vip));
    let _session = session.expect("the namespace is there").expect("connected");
    let vip = vip.to_string();
    let add = ["service", "add", "ssh", "--vip", &vip, "--health", "type=none"];
    let refused = balancer.xdplb(&add);
    for word in [&format!("to {vip}, which would end"), "`--force`"] {
        assert!(!refused.status.success() && said(&refused).contains(word), "{}", said(&refused));
    }
    assert_eq!(balancer.services().len(), 1);
    balancer.done(&[&add[..], &["--force"]].concat());
}

#[test]
#[ignore = "needs root"]
fn members_of_the_group_take_no_port_that_a_server_has_at_all_addresses() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    admit_member(&balancer);
    let directory = open_directory(&testbed, "open");
    let server = testbed.balancer().run(|| TcpListener::bind("0.0.0.0:2222"));
    let _server = server.expect("the namespace is there").expect("free");
    let vip = format!("{}:2222", testbed.vip());
    let word = "listens on 0.0.0.0:2222 on this host";
    let add = ["service", "add", "ssh", "--vip", &vip, "--health", "type=none"];
    let refused = |arguments: &[&str]| {
        let said = is_refused(&balancer, arguments, word);
        assert!(said.contains("only root may"), "{said}");
    };
    refused(&add);
    let other = text(&testbed, &[1; 3]).replace(&format!("{}:80", testbed.vip()), &vip);
    let file = write_open(&directory.join("vip.toml"), &other);
    for verb in ["apply", "diff"] {
        let output = as_member(&balancer, &[verb, "-c", &file]);
        assert!(said(&output).contains("only root may"), "{verb}: {}", said(&output));
    }
    // Root is warned, and allowed.
    balancer.done(&add);
    let log = fs::read_to_string(testbed.directory().join("log")).expect("a log");
    assert!(log.contains(word), "{log}");
    balancer.done(&["service", "remove", "ssh"]);
    refused(&["rollback"]);
    assert_eq!(balancer.services().len(), 1, "nothing has changed");
    balancer.done(&["rollback"]);
    assert_eq!(balancer.services().len(), 2);
}

#[test]
#[ignore = "needs root"]
fn members_of_the_group_have_no_file_read_and_are_not_told_which_there_are() {
    let testbed = empty_testbed(Arms::Two);
    let tls = testbed.directory().join("tls");
    fs::create_dir(&tls).expect("made");
    let checks = format!("[checks]\ntls_directories = [{:?}]\n", tls.display().to_string());
    let balancer = Balancer::start(&testbed, &(text(&testbed, &[1; 3]) + &checks));
    admit_member(&balancer);
    let set = |key: &str, file: &str| {
        let file = format!("{key}={file}");
        as_member(
            &balancer,
            &[
                "service",
                "set",
                "web",
                "--health",
                "type=tls",
                "--health",
                &file,
                "--health",
                if key == "ca" {
                    "sni=db"
                } else if key == "key" {
                    "certificate=/x"
                } else {
                    "key=/x"
                },
            ],
        )
    };
    fs::write(testbed.directory().join("there.pem"), "secret").expect("written");
    let file = |name: &str| testbed.directory().join(name).display().to_string();
    for key in ["ca", "certificate", "key"] {
        let answers: Vec<_> = [
            "/etc/shadow".to_owned(),
            file("there.pem"),
            file("missing.pem"),
            file("tls/../there.pem"),
        ]
        .iter()
        .map(|path| said(&set(key, path)))
        .collect();
        assert!(
            answers[0].contains("users other than root may only name files below"),
            "{answers:?}"
        );
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    // The backends' state does not reveal whether an allowed file exists, either.
    fs::write(tls.join("broken.pem"), "secret").expect("written");
    let mut details = Vec::new();
    for name in ["tls/broken.pem", "tls/missing.pem"] {
        let set = set("ca", &file(name));
        assert!(set.status.success(), "{}", said(&set));
        balancer.wait_for("a check that cannot be carried out", || {
            balancer.services()[0].backends[0].detail.starts_with("UNK cannot be checked")
        });
        details.push(balancer.services()[0].backends[0].detail.clone());
        balancer.done(&["service", "set", "web", "--health", "type=tcp"]);
        balancer.wait_for("another check", || {
            !balancer.services()[0].backends[0].detail.starts_with("UNK")
        });
    }
    assert_eq!(details[0], details[1]);
    // The log reveals it, but only to its own readers.
    let log = fs::read_to_string(testbed.directory().join("log")).expect("a log");
    assert!(log.contains("broken.pem") && log.contains("missing.pem: No such file"), "{log}");
}

#[test]
#[ignore = "needs root"]
fn a_configuration_that_others_can_write_names_no_programs() {
    let testbed = empty_testbed(Arms::Two);
    let refused = |owner: u32, mode: u32, text: &str| {
        let file = testbed.directory().join("refused.toml");
        fs::write(&file, text).expect("written");
        chown(&file, Some(owner), None).expect("root");
        set_mode(&file, mode);
        let mut command = Command::new(BINARY);
        command.arg("run").arg("-c").arg(&file).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let daemon = testbed.balancer().spawn(&mut command).expect("started");
        let output = daemon.wait_with_output().expect("ended");
        assert!(!output.status.success());
        said(&output)
    };
    let program = with_program(&testbed, "exit 0");
    for (owner, mode) in [(MEMBER, 0o644), (0, 0o646), (0, 0o664)] {
        let shown = refused(owner, mode, &program);
        assert!(shown.contains("`command`: only root may name a program to run"), "{shown}");
        assert!(shown.contains("chown root") && shown.contains("refused.toml:"), "{shown}");
        let checks = text(&testbed, &[1; 3]) + "[checks]\ntls_directories = [\"/\"]\n";
        let shown = refused(owner, mode, &checks);
        assert!(shown.contains("only root may change `checks`"), "{shown}");
    }
    // The same on a reload, which has no response: the running configuration stays.
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    set_mode(&testbed.directory().join("xdplb.toml"), 0o666);
    balancer.reload(&program);
    balancer.wait_for("a refusal in the log", || {
        let log = fs::read_to_string(testbed.directory().join("log")).expect("a log");
        log.contains("not reloaded") && log.contains("only root may name a program")
    });
    assert!(balancer.done(&["history"]).lines().count() == 2, "a heading and one version");
}

#[test]
#[ignore = "needs root"]
fn a_check_that_cannot_be_carried_out_any_more_is_a_warning() {
    let testbed = empty_testbed(Arms::Two);
    set_mode(testbed.directory(), 0o755);
    let program = testbed.directory().join("check");
    fs::write(&program, "#!/bin/sh\nexit 0\n").expect("written");
    set_mode(&program, 0o755);
    let check = format!("[service.health]\ntype = \"exec\"\ncommand = [{program:?}]\n");
    let balancer =
        Balancer::start(&testbed, &text(&testbed, &[1; 3]).replace("[service.health]", &check));
    balancer.wait_for_ring_of(3);
    let warns_of = |what| balancer.status().warnings.iter().any(|one| one.contains(what));
    let logs = |what: &str| {
        let log = fs::read_to_string(testbed.directory().join("log")).expect("a log");
        log.matches(what).count()
    };
    assert!(!warns_of("cannot be checked"));
    set_mode(&program, 0);
    balancer.wait_for("a warning", || warns_of("3 of 3 backends cannot be checked"));
    let view = &balancer.services()[0].backends[0];
    assert_eq!((view.health, view.in_ring), (Health::Up, true));
    assert!(view.detail.contains("Permission denied"), "{}", view.detail);
    set_mode(&program, 0o755);
    balancer.wait_for("no warning", || !warns_of("cannot be checked"));
    assert_eq!(logs("backend cannot be checked, and keeps its health"), 3);
    assert_eq!(logs("backend is checked again"), 3);
}

#[test]
#[ignore = "needs root"]
fn passwords_of_checks_are_shown_to_nobody() {
    const PASSWORD: &str = "hunter2";
    let testbed = empty_testbed(Arms::Two);
    let with_send = |send: &str| {
        let check = format!("type = \"send-expect\"\ncontains = \"OK\"\nsend = {send:?}\n");
        text(&testbed, &[1; 3]).replace("[service.health]", &format!("[service.health]\n{check}"))
    };
    // As left by an earlier version.
    let state = testbed.directory().join("state");
    fs::create_dir(&state).expect("made");
    fs::write(state.join("backends.json"), "{}").expect("written");
    set_mode(&state, 0o755);
    set_mode(&state.join("backends.json"), 0o644);
    let balancer = Balancer::start(&testbed, &with_send(&format!("AUTH {PASSWORD}")));
    let kept = || fs::read_to_string(state.join("journal")).expect("a journal");
    assert!(kept().contains(PASSWORD), "it is kept");
    let shown = |arguments: &[&str]| {
        let output = said(&balancer.xdplb(arguments));
        assert!(!output.contains(PASSWORD), "{arguments:?}: {output}");
        output
    };
    let changed = write_open(&testbed.directory().join("other.toml"), &with_send("AUTH other"));
    let hidden = "health.send: (hidden) -> (hidden)";
    assert!(shown(&["diff", "-c", &changed]).contains(hidden));
    assert!(shown(&["apply", "-c", &changed]).contains(hidden));
    assert!(shown(&["rollback"]).contains(hidden));
    balancer.done(&["service", "set", "web", "--health", &format!("send=AUTH {PASSWORD}2")]);
    balancer.done(&["service", "set", "web", "--health", "send=(hidden)", "--health", "fall=7"]);
    assert!(shown(&["diff", "-c", &changed, "-o", "json"]).contains("(hidden)"));
    for arguments in [
        &["history"][..],
        &["history", "2"],
        &["history", "4", "-o", "json"],
        &["history", "5"],
        &["service", "show", "web", "-o", "json"],
        &["status", "-o", "json"],
    ] {
        shown(arguments);
    }
    let log = fs::read_to_string(testbed.directory().join("log")).expect("a log");
    assert!(!log.contains(PASSWORD), "{log}");
    let last = kept();
    let last = last.lines().last().expect("a version");
    assert!(last.contains(&format!("AUTH {PASSWORD}2")) && last.contains("\"fall\":7"), "{last}");
    balancer.stop(Signal::SIGTERM);
    assert_eq!(mode(&state), 0o700);
    for entry in fs::read_dir(&state).expect("there") {
        let path = entry.expect("there").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
