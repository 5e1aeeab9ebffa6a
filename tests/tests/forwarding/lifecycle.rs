//! Stops, starts and reloads of the daemon; forwarding continues.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use lb_common::LAYOUT;
use lb_model::views::InterfaceMode;
use lb_tests::{
    balancer::{BINARY, Balancer, detach},
    conversations::End,
    requests,
    servers::{attempt, nginx_everywhere},
    site::{Arms, Site, empty_testbed, site, text, vip},
};
use nix::{net::if_::if_indextoname, sys::signal::Signal};

#[test]
#[ignore = "needs root"]
fn packets_go_on_without_the_daemon_until_they_are_detached() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    balancer.stop(Signal::SIGTERM);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 90);
    assert_eq!(answers.get(""), None, "{answers:?}");
    assert_eq!(answers.len(), 3);
    let output = detach(&testbed);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 3);
    assert_eq!(answers[""], 3, "nobody answers any more");
    assert!(!detach(&testbed).status.success(), "there is nothing left to detach");
}

#[test]
#[ignore = "needs root"]
fn what_is_detached_in_another_namespace_has_no_name_of_this_one() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let index = balancer.status().interfaces[0].ifindex;
    balancer.stop(Signal::SIGTERM);
    let other = &testbed.clients()[0].namespace;
    // One of the same index, unless there is one already.
    let number = index.to_string();
    let _ = attempt(other, "ip", &["link", "add", "same", "index", &number, "type", "dummy"]);
    let name = other.run(|| if_indextoname(index)).expect("entered").expect("an interface");
    let name = name.to_str().expect("text");
    let bpffs = testbed.bpffs().display().to_string();
    let detach = |arguments: &[&str]| {
        attempt(other, BINARY, &[&["detach", "--bpffs", &bpffs], arguments].concat())
    };
    let refused = detach(&[name]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(&format!("xdplb is not attached to {name}")), "{said}");
    let detached = detach(&[]);
    let said = String::from_utf8_lossy(&detached.stdout);
    assert!(detached.status.success(), "{}", String::from_utf8_lossy(&detached.stderr));
    let told = format!("detached from interface {index} of another network namespace\n");
    assert!(said.contains(&told), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(!testbed.bpffs().join("xdplb").exists(), "something is left");
}

#[test]
#[ignore = "needs root"]
fn pins_that_end_with_the_daemon_are_said_to() {
    let testbed = empty_testbed(Arms::Two);
    let _servers = nginx_everywhere(&testbed);
    let log = || fs::read_to_string(testbed.directory().join("log")).expect("a log");
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    let is_warned = |balancer: &Balancer| {
        let warnings = balancer.status().warnings;
        warnings.iter().any(|one| one.starts_with("forwarding ends with the daemon"))
    };
    assert!(!is_warned(&balancer));
    balancer.stop(Signal::SIGTERM);
    assert!(log().contains("stopped; forwarding continues"), "{}", log());
    assert!(detach(&testbed).status.success());
    let own = testbed.directory().join("bpf-of-its-own").display().to_string();
    let alone = text(&testbed, &[1; 3]).replace(&testbed.bpffs().display().to_string(), &own);
    let mut command = Command::new("unshare");
    command.args(["--mount", BINARY]);
    let balancer = Balancer::start_by(&testbed, &alone, command);
    assert!(is_warned(&balancer));
    assert!(log().contains("bpf-of-its-own is a BPF file system of its own mount namespace"));
    balancer.wait_for_ring_of(3);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 3);
    assert_eq!(answers.get(""), None, "{answers:?}");
    balancer.stop(Signal::SIGTERM);
    assert!(log().contains("stopped; forwarding ends"), "{}", log());
    // The kernel releases the links a little later than their file system.
    let is_lost = |_| requests::send(&testbed.clients()[0], vip(&testbed), 1).contains_key("");
    assert!((0..1_000).any(is_lost), "somebody still forwards");
}

#[test]
#[ignore = "needs root"]
fn a_restart_loses_no_request() {
    let Site { mut balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let goes_on = AtomicBool::new(true);
    let (answers, balancer) = thread::scope(|scope| {
        let client = &testbed.clients()[0];
        let to = vip(&testbed);
        let going = || goes_on.load(Ordering::Relaxed);
        let sender = scope.spawn(move || requests::send_while(client, to, going));
        let end = End(&goes_on);
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            balancer.stop(signal);
            thread::sleep(Duration::from_millis(300));
            balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
            thread::sleep(Duration::from_millis(500));
        }
        drop(end);
        (sender.join().expect("no panic"), balancer)
    });
    assert!(answers.values().sum::<u64>() > 500, "{answers:?}");
    assert_eq!(answers.get(""), None, "{answers:?}");
    balancer.wait_for_ring_of(3);
}

#[test]
#[ignore = "needs root"]
fn a_reload_follows_the_file_and_a_bad_file_changes_nothing() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    balancer.reload(&text(&testbed, &[1, 3]));
    balancer.wait_for_ring_of(2);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 40);
    assert_eq!((answers["backend0"], answers["backend1"]), (10, 30));
    balancer.reload("interfaces = [");
    balancer.wait_for("a refused reload", || balancer.status().reload_refused.is_some());
    let refused = balancer.status().reload_refused.expect("until the next one");
    assert!(refused.reason.contains("xdplb.toml:1: "), "{refused:?}");
    assert!(refused.at > balancer.status().started, "{refused:?}");
    let told =
        format!("was refused and changed nothing (see the log for all errors): {}", refused.reason);
    assert!(balancer.done(&["status"]).contains(&told), "{told}");
    assert_eq!(balancer.services()[0].backends.len(), 2);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 40);
    assert_eq!((answers["backend0"], answers["backend1"]), (10, 30));
    let ports =
        text(&testbed, &[1, 3]).replace("interfaces", "snat_ports = \"60000-1\"\ninterfaces");
    balancer.reload(&ports);
    let reason = || balancer.status().reload_refused.map(|refused| refused.reason);
    balancer.wait_for("another reason", || reason().is_some_and(|now| now != refused.reason));
    balancer.reload(&text(&testbed, &[1, 3]));
    balancer.wait_for("a reload that is not refused", || reason().is_none());
    assert!(!balancer.done(&["status"]).contains("refused"));
}

#[test]
#[ignore = "needs root"]
fn closed_connections_are_forgotten_in_time() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let short = text(&testbed, &[1; 3]) + "[service.timeouts]\nclosed = \"500ms\"\n";
    balancer.reload(&short);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 300);
    assert_eq!(answers.get(""), None);
    balancer.wait_for("an empty flow table", || balancer.status().flows.entries == 0);
    assert_eq!(balancer.services()[0].backends[0].connections_total, 100);
}

#[test]
#[ignore = "needs root"]
fn pins_of_another_layout_are_refused_until_they_are_detached() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    balancer.stop(Signal::SIGTERM);
    let pins = testbed.bpffs().join("xdplb");
    fs::rename(pins.join(format!("v{LAYOUT}")), pins.join("v1")).expect("renamed");
    let refused = Balancer::refused(&testbed, &text(&testbed, &[1; 3]));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("xdplb/v1 of another version"), "{said}");
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
    assert_eq!(answers.get(""), None, "forwarding continues: {answers:?}");
    assert!(detach(&testbed).status.success());
    assert!(!pins.exists(), "something is left");
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    balancer.wait_for_ring_of(3);
}

#[test]
#[ignore = "needs root"]
fn pinned_maps_of_another_shape_are_refused() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    balancer.stop(Signal::SIGTERM);
    let pins = testbed.bpffs().join(format!("xdplb/v{LAYOUT}"));
    let shapes = [
        ("BACKENDS", "type array key 4 value 8 entries 16385"),
        ("RINGS", "type hash key 4 value 8 entries 16"),
        ("SERVICES", "type array key 4 value 48 entries 16385"),
        ("SERVICE_INDEX", "type hash key 8 value 16 entries 4096"),
        ("VERDICTS", "type percpu_array key 4 value 8 entries 33"),
    ];
    for (name, shape) in shapes {
        let (pin, aside) = (pins.join(name), pins.join("aside"));
        fs::rename(&pin, &aside).expect("renamed");
        let mut create = vec!["map", "create", pin.to_str().expect("text"), "name", "other"];
        create.extend(shape.split(' '));
        let created = attempt(testbed.balancer(), "bpftool", &create);
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        let refused = Balancer::refused(&testbed, &text(&testbed, &[1; 3]));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("{name} is of another build")), "{said}");
        fs::remove_file(&pin).expect("unpinned");
        fs::rename(&aside, &pin).expect("renamed");
    }
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
    assert_eq!(answers.get(""), None, "forwarding continues: {answers:?}");
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    balancer.wait_for_ring_of(3);
}

#[test]
#[ignore = "needs root"]
fn a_running_flow_table_keeps_its_size_until_a_restart() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let larger = text(&testbed, &[1, 3]).replace("flows = 100_000", "flows = 200_000");
    balancer.reload(&larger);
    let log = || fs::read_to_string(testbed.directory().join("log")).expect("a log");
    balancer.wait_for("a refusal of the other size in the log", || {
        log().contains("`limits.flows` has changed: restart the daemon, which migrates")
    });
    assert_eq!(balancer.services()[0].backends.len(), 3, "nothing has changed");
    assert_eq!(balancer.status().flows.capacity, 100_000);
    balancer.stop(Signal::SIGTERM);
    let balancer = Balancer::start(&testbed, &larger);
    assert_eq!(balancer.status().flows.capacity, 200_000);
    balancer.wait_for_ring_of(2);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
    assert_eq!(answers.get(""), None, "{answers:?}");
}

#[test]
#[ignore = "needs root"]
fn the_xdp_mode_of_a_running_balancer_is_changed() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    for (word, mode) in [("generic", InterfaceMode::Generic), ("native", InterfaceMode::Native)] {
        balancer.reload(&format!("xdp_mode = \"{word}\"\n{}", text(&testbed, &[1; 3])));
        balancer.wait_for("the other mode", || {
            balancer.status().interfaces.iter().all(|interface| interface.mode == mode)
        });
        let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
        assert_eq!(answers.get(""), None, "{word}: {answers:?}");
    }
}

/// A veth with too few queues for its peer does not support native XDP.
#[test]
#[ignore = "needs root"]
fn native_mode_is_gone_back_to_once_it_can_be_had() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let run = |program: &str, arguments: &str| {
        let output =
            attempt(testbed.balancer(), program, &arguments.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{program} {arguments}: {output:?}");
    };
    let queues = "numrxqueues 2 numtxqueues 2";
    run("ip", &format!("link add spare {queues} type veth peer name spare-peer {queues}"));
    for link in ["spare", "spare-peer"] {
        run("ip", &format!("link set {link} up"));
    }
    run("ethtool", "-L spare rx 1");
    let text = text(&testbed, &[1; 3]).replace("\"eth1\"]", "\"eth1\", \"spare\"]");
    balancer.reload(&text);
    let mode = |balancer: &Balancer| {
        let spare = balancer.status().interfaces.into_iter().find(|one| one.name == "spare");
        spare.map(|interface| interface.mode)
    };
    let wait_for = |balancer: &Balancer, wanted: InterfaceMode| {
        balancer.wait_for("the other mode", || mode(balancer) == Some(wanted));
    };
    wait_for(&balancer, InterfaceMode::Generic);
    let warnings = balancer.status().warnings;
    assert!(warnings.iter().any(|one| one.contains("spare runs in generic mode")), "{warnings:?}");

    run("ethtool", "-L spare rx 2");
    // A link event shortly after an attempt at native mode is attributed to the driver.
    balancer.wait_for("native mode after the link has come up", || {
        run("ip", "link set spare down");
        run("ip", "link set spare up");
        mode(&balancer) == Some(InterfaceMode::Native)
    });

    let to_generic = |balancer: Balancer| {
        balancer.stop(Signal::SIGTERM);
        assert!(detach(&testbed).status.success());
        run("ethtool", "-L spare rx 1");
        let balancer = Balancer::start(&testbed, &text);
        wait_for(&balancer, InterfaceMode::Generic);
        run("ethtool", "-L spare rx 2");
        balancer
    };
    let balancer = to_generic(balancer);
    balancer.reload(&text);
    wait_for(&balancer, InterfaceMode::Native);

    to_generic(balancer).stop(Signal::SIGTERM);
    let balancer = Balancer::start(&testbed, &text);
    wait_for(&balancer, InterfaceMode::Native);
}
