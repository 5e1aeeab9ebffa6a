//! Daemons that must not start, and must change nothing.

use std::fs;

use lb_model::views::InterfaceMode;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    servers::attempt,
    site::{Arms, Site, empty_testbed, site, text},
};
use nix::sys::signal::Signal;

#[test]
#[ignore = "needs root"]
fn a_daemon_that_cannot_start_says_why_and_leaves_nothing() {
    let testbed = empty_testbed(Arms::Two);
    let good = text(&testbed, &[1; 3]);
    let cases = [
        (good.replace("\"eth1\"", "\"eth9\""), 2, "there is no interface eth9"),
        (good.replace("10.0.0.11:80", "10.0.0.1:80"), 2, "balancer itself"),
        (good.replace("10.0.0.11:80", "203.0.113.10:80"), 2, "is the VIP of service web"),
        (good.replace("10.0.0.11:80", "10.0.0.11:99999"), 2, "out of range"),
        (good.replace("weight = 1", "weight = 65536"), 2, "0 to 65535"),
    ];
    for (text, code, word) in cases {
        let output = Balancer::refused(&testbed, &text);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(word), "{said}");
        assert!(said.contains("refused.toml:"), "{said}");
        assert!(!testbed.bpffs().join("xdplb").exists(), "{word}: something is left");
    }
}

#[test]
#[ignore = "needs root"]
fn all_that_does_not_fit_the_host_is_said_at_once() {
    let testbed = empty_testbed(Arms::Two);
    let text = text(&testbed, &[1; 3]).replace("\"eth0\", \"eth1\"", "\"eth8\", \"eth9\"");
    let output = Balancer::refused(&testbed, &text.replace("10.0.0.12:80", "10.0.0.1:80"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in ["no interface eth8", "no interface eth9", "balancer itself"] {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_foreign_program_is_not_replaced() {
    let testbed = empty_testbed(Arms::Two);
    let object = concat!(env!("CARGO_MANIFEST_DIR"), "/../lb-ebpf/object/testbed.bpf.o");
    let arguments = ["link", "set", "dev", "eth1", "xdpdrv", "obj", object, "sec", "xdp.frags"];
    let attached = attempt(testbed.balancer(), "ip", &arguments);
    assert!(attached.status.success(), "{}", String::from_utf8_lossy(&attached.stderr));
    let said = refused_as_foreign(&testbed, "eth1");
    assert!(!testbed.bpffs().join("xdplb").exists(), "something is left");
    let shown = attempt(testbed.balancer(), "ip", &["-details", "link", "show"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.matches("prog/xdp").count(), 1, "{shown}");
    follow_advice(&testbed, &said, "ip link set dev eth1 xdp");
    drop(Balancer::start(&testbed, &text(&testbed, &[1; 3])));
}

#[test]
#[ignore = "needs root"]
fn a_foreign_program_of_a_link_is_not_replaced() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    balancer.stop(Signal::SIGTERM);
    // Links without our pins may be anybody's.
    let pins = testbed.bpffs().join("xdplb");
    fs::rename(&pins, testbed.bpffs().join("others")).expect("renamed");
    for interface in ["eth0", "eth1"] {
        let said = refused_as_foreign(&testbed, interface);
        assert!(!said.contains("ip link set"), "a link stays then: {said}");
        follow_advice(&testbed, &said, "bpftool link detach id ");
    }
    drop(Balancer::start(&testbed, &text(&testbed, &[1; 3])));
}

/// Returns the error of a daemon that does not start because an interface already has a program.
fn refused_as_foreign(testbed: &Testbed, interface: &str) -> String {
    let output = Balancer::refused(testbed, &text(testbed, &[1; 3]));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = format!("{interface} has another XDP program attached (id ");
    assert!(said.contains(&expected), "{said}");
    said
}

/// Runs the command that an error recommends and that begins like this.
fn follow_advice(testbed: &Testbed, said: &str, begin: &str) {
    let command = said.split('`').find(|part| part.starts_with(begin)).expect(said);
    let words: Vec<_> = command.split(' ').collect();
    let done = attempt(testbed.balancer(), words[0], &words[1..]);
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
#[ignore = "needs root"]
fn a_second_daemon_is_kept_out() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let same = text(&testbed, &[1; 3]);
    let output = Balancer::refused(&testbed, &same);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another daemon answers"), "{said}");
    let other_socket = same.replace("xdplb.sock", "other.sock");
    let other_state = other_socket.replace("/state\"", "/other\"");
    for (text, word) in [(&other_socket, "keeps its state in"), (&other_state, "daemon holds")] {
        let said = Balancer::refused(&testbed, text).stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains(word), "{said}");
    }
    balancer.wait_for_ring_of(3);
}

#[test]
#[ignore = "needs root"]
fn a_driver_without_xdp_is_never_passed_over_in_silence() {
    let testbed = empty_testbed(Arms::Two);
    let with_loopback = text(&testbed, &[1; 3]).replace("\"eth1\"]", "\"eth1\", \"lo\"]");
    let native = format!("xdp_mode = \"native\"\n{with_loopback}");
    let output = Balancer::refused(&testbed, &native);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot attach to lo in native mode"), "{said}");
    assert!(!testbed.bpffs().join("xdplb").exists(), "something is left");
    let balancer = Balancer::start(&testbed, &with_loopback);
    let status = balancer.status();
    let modes: Vec<_> = status.interfaces.iter().map(|one| one.mode).collect();
    let expected = [InterfaceMode::Native, InterfaceMode::Native, InterfaceMode::Generic];
    assert_eq!(modes, expected);
    assert!(status.warnings.iter().any(|said| said.contains("lo runs in generic mode")));
}
