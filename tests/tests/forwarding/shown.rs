//! The running state can be read, and is current.

use std::{
    fs,
    io::Write as _,
    process::{Output, Stdio},
};

use lb_model::{
    Health,
    views::{BackendView, Origin, ServiceView},
};
use lb_tests::{
    balancer::Balancer,
    site::{Arms, Site, backend, site, text},
};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn web(balancer: &Balancer) -> ServiceView {
    let shown = balancer.done(&["service", "show", "web", "-o", "json"]);
    serde_json::from_str(&shown).expect("the shape")
}

fn first(balancer: &Balancer) -> BackendView {
    web(balancer).backends.remove(0)
}

/// Runs a command with this text at its standard input.
fn fed(balancer: &Balancer, arguments: &[&str], text: &str) -> Output {
    let mut command = balancer.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    child.wait_with_output().expect("ended")
}

#[test]
#[ignore = "needs root"]
fn settings_are_shown_with_their_origins() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let second = backend(&testbed, 1).to_string();
    balancer.done(&["service", "set", "web", "--health", "fall=9", "--set", "slow_start=1s"]);
    balancer.done(&["backend", "set", "web", &second, "--weight", "7"]);
    let web = web(&balancer);
    for (key, origin) in [
        ("vip", Origin::File),
        ("health.interval", Origin::File),
        ("health.fall", Origin::Command),
        ("slow_start", Origin::Command),
        ("scheduler", Origin::Default),
        ("health.close", Origin::Default),
    ] {
        assert_eq!(web.origins.get(key), Some(&origin), "{key}");
    }
    let origins: Vec<_> = web.backends.iter().map(|backend| backend.origin).collect();
    assert_eq!(origins, [Some(Origin::File), Some(Origin::Command), Some(Origin::File)]);
    let table = balancer.done(&["service", "show", "web"]);
    let row = |key: &str| {
        let line = table.lines().find(|line| line.starts_with(key)).expect(key);
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("health.fall"), "health.fall 9 command");
    assert_eq!(row("scheduler"), "scheduler round-robin default");
}

#[test]
#[ignore = "needs root"]
fn what_is_exported_makes_what_runs() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let (first, check) = (backend(&testbed, 0).to_string(), ["--health", "type=http"]);
    balancer.done(&["backend", "set", "web", &first, "--weight", "5", "--backup=true"]);
    let add = ["service", "add", "other", "--vip", "203.0.113.77:81", "--scheduler", "maglev"];
    balancer.done(&[&add[..], &check].concat());
    balancer.done(&["backend", "add", "other", &backend(&testbed, 2).to_string()]);
    let exported = balancer.done(&["export"]);
    let diff = fed(&balancer, &["diff", "-c", "-"], &exported);
    assert_eq!(diff.status.code(), Some(0), "{}\n{exported}", said(&diff));
    let before = balancer.services().into_iter().map(|one| (one.name, one.policy));
    let before: Vec<_> = before.collect();
    balancer.done(&["rollback", "1"]);
    let applied = fed(&balancer, &["apply", "-c", "-"], &exported);
    assert_eq!(applied.status.code(), Some(0), "{}", said(&applied));
    let after = balancer.services().into_iter().map(|one| (one.name, one.policy));
    assert_eq!(after.collect::<Vec<_>>(), before);
    let version = balancer.done(&["history", "2"]);
    for part in ["by root (uid 0, pid", "weight: 1 -> 5", "[[service]]\nname = \"web\""] {
        assert!(version.contains(part), "{part} is not in {version}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_backend_shows_its_checks_as_they_are_made() {
    let Site { balancer, mut servers, testbed } = site(Arms::Two, [1; 3]);
    balancer.done(&["service", "set", "web", "--health", "fall=1000"]);
    balancer.wait_for("a good check", || {
        first(&balancer).last_check.is_some_and(|last| last.success == Some(true))
    });
    drop(servers.remove(0));
    // Health does not change for 1,000 checks, and yet each of them is shown.
    for count in [3, 6] {
        balancer.wait_for("failed checks", || {
            first(&balancer).last_check.is_some_and(|last| last.contrary >= count)
        });
    }
    let view = first(&balancer);
    assert_eq!((view.health, view.in_ring, view.unusable.as_deref()), (Health::Up, true, None));
    let last = view.last_check.expect("one");
    assert_eq!((last.success, last.needed), (Some(false), 1_000));
    assert!(last.result.starts_with("L4CON"), "{last:?}");
    let table = balancer.done(&["service", "list"]);
    assert!(table.contains(" of 1000 failures, "), "{table}");

    balancer.done(&["service", "set", "web", "--health", "fall=2"]);
    balancer.wait_for("a backend down", || first(&balancer).unusable.as_deref() == Some("down"));
    assert_eq!(first(&balancer).effective_weight.to_string(), "0");
    let second = backend(&testbed, 1).to_string();
    balancer.done(&["backend", "drain", "web", &second, "--deadline", "1s"]);
    let of_second = || web(&balancer).backends[1].unusable.clone().unwrap_or_default();
    balancer.wait_for("the end of the drain", || of_second().contains("deadline has passed"));
    balancer.done(&["service", "set", "web", "--set", "slow_start=60s"]);
    balancer.done(&["backend", "enable", "web", &second]);
    let view = web(&balancer).backends.remove(1);
    assert_eq!((view.slow_start, view.in_ring), (Some(10), true), "{view:?}");
}

#[test]
#[ignore = "needs root"]
fn what_takes_out_the_last_usable_backend_is_warned_of() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let addresses: Vec<_> = (0..3).map(|nth| backend(&testbed, nth).to_string()).collect();
    for address in &addresses[..2] {
        let drained = balancer.xdplb(&["backend", "drain", "web", address]);
        assert_eq!(said(&drained), "", "others are left");
    }
    let word = "web: no usable backend is left: new connections are refused";
    let two = text(&testbed, &[1; 2]);
    let diff = fed(&balancer, &["diff", "-c", "-"], &two);
    assert_eq!(diff.status.code(), Some(4), "{}", said(&diff));
    assert!(said(&diff).contains(word), "{}", said(&diff));
    let logged = || fs::read_to_string(testbed.directory().join("log")).expect("a log");
    assert!(!logged().contains("no backend takes connections"), "a plan takes out nothing");
    for (arguments, back) in [
        (&["backend", "drain", "web", &addresses[2]][..], "enable"),
        (&["backend", "disable", "web", &addresses[2]], "enable"),
        (&["backend", "remove", "web", &addresses[2]], "add"),
    ] {
        let done = balancer.xdplb(arguments);
        assert_eq!(done.status.code(), Some(0), "{}", said(&done));
        assert!(said(&done).contains(word), "{arguments:?}: {}", said(&done));
        balancer.done(&["backend", back, "web", &addresses[2]]);
        balancer.wait_for_ring_of(1);
    }
    let applied = fed(&balancer, &["apply", "-c", "-"], &two);
    assert!(said(&applied).contains(word), "{}", said(&applied));
    let errors =
        logged().lines().filter(|line| line.contains("no backend takes connections")).count();
    assert_eq!(errors, 4, "{}", logged());
    let status = balancer.status();
    assert_eq!((status.backends_up, status.backends_in_use), (2, 0), "drained, and well");
    let warnings = status.warnings;
    assert!(
        warnings.iter().any(|one| one.contains("no backend takes connections")),
        "{warnings:?}"
    );
}
