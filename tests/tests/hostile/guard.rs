//! A moment without the XDP program ends no connection: the host, which owns the service's address,
//! never answers in its place.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    path::PathBuf,
    thread::{sleep, spawn},
    time::Duration,
};

use aya::programs::{SchedClassifier, TcAttachType};
use lb_model::views::{GuardHook, InterfaceMode, Stats};
use lb_testbed::{Host, Testbed};
use lb_tests::{
    balancer::{Balancer, detach},
    downloads::complete_while,
    servers::attempt,
};
use nix::sys::{
    signal::Signal,
    socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
    },
};

use crate::downloads::{PORT, Site, empty_testbed, site, start, text, vip};

const DOWNLOADS: usize = 20;
const SECOND: Duration = Duration::from_secs(1);

/// Makes a new kernel attach the guard as an old one must.
const CLSACT: [(&str, &str); 1] = [("XDPLB_GUARD_HOOK", "clsact")];

/// The guard's name, and the handle of its filter.
const GUARD: &str = "xdplb_guard";
const HANDLE: &str = "handle 0x7864706c";

#[test]
#[ignore = "needs root"]
fn downloads_survive_a_second_without_the_program() {
    let Site { balancer, testbed } = site(&[]);
    downloads_survive(balancer, &testbed, &[]);
}

#[test]
#[ignore = "needs root"]
fn downloads_survive_by_a_filter_too() {
    let Site { balancer, testbed } = site(&CLSACT);
    assert_eq!(hooks(&balancer), [GuardHook::Clsact; 2]);
    downloads_survive(balancer, &testbed, &CLSACT);
}

fn downloads_survive(balancer: Balancer, testbed: &Testbed, variables: &[(&str, &str)]) {
    balancer.stop(Signal::SIGTERM);
    let mut balancer = None;
    let complete = complete_while(&testbed.clients()[0], vip(testbed), DOWNLOADS, || {
        take_program_off(testbed);
        sleep(SECOND);
        balancer = Some(start(testbed, variables));
    });
    assert_eq!(complete, DOWNLOADS);
    let guarded = guarded(&balancer.expect("started"));
    assert!(guarded > 0, "packets came to the host's stack, and were dropped by name");
}

#[test]
#[ignore = "needs root"]
fn without_the_guard_downloads_die() {
    let Site { balancer, testbed } = site(&[]);
    balancer.stop(Signal::SIGTERM);
    let mut balancer = None;
    let complete = complete_while(&testbed.clients()[0], vip(&testbed), DOWNLOADS, || {
        take_guard_off(&testbed);
        take_program_off(&testbed);
        sleep(SECOND);
        balancer = Some(start(&testbed, &[]));
    });
    assert_eq!(complete, 0, "the host's stack has reset them");
}

#[test]
#[ignore = "needs root"]
fn downloads_survive_changes_of_the_xdp_mode() {
    let Site { balancer, testbed } = site(&[]);
    let complete = complete_while(&testbed.clients()[0], vip(&testbed), DOWNLOADS, || {
        for (word, mode) in [("generic", InterfaceMode::Generic), ("native", InterfaceMode::Native)]
        {
            balancer.reload(&format!("xdp_mode = \"{word}\"\n{}", text(&testbed)));
            balancer.wait_for("the other mode", || {
                balancer.status().interfaces.iter().all(|interface| interface.mode == mode)
            });
        }
    });
    assert_eq!(complete, DOWNLOADS);
}

#[test]
#[ignore = "needs root"]
fn the_hosts_own_tcp_is_untouched_with_and_without_the_program() {
    let Site { balancer, testbed } = site(&[]);
    let own: SocketAddr = ([10, 0, 0, 1], 22).into();
    let vip_too: SocketAddr = (testbed.vip(), 22).into();
    for address in [own, vip_too] {
        greet(&testbed, address);
    }
    let look = || {
        let client = &testbed.clients()[0];
        assert_eq!(greeting(client, vip_too), "SSH-2.0-host\r\n");
        assert_eq!(greeting(&testbed.backends()[0], own), "SSH-2.0-host\r\n");
        let backend = (testbed.backends()[0].address, PORT).into();
        let bytes = testbed.balancer().run(|| first_bytes_from_balanced_port(backend));
        assert!(bytes.expect("entered") > 0);
    };
    look();
    balancer.stop(Signal::SIGKILL);
    take_program_off(&testbed);
    look();
}

#[test]
#[ignore = "needs root"]
fn there_is_one_guard_until_it_is_detached() {
    let Site { balancer, testbed } = site(&[]);
    one_guard_until_it_is_detached(balancer, &testbed, &[]);
}

#[test]
#[ignore = "needs root"]
fn others_filters_stay_beside_the_guard() {
    let testbed = empty_testbed();
    tc(&testbed, &["qdisc", "add", "dev", "eth0", "clsact"]);
    let foreign = ["prio", "1", "protocol", "ip", "u32", "match", "ip", "dport", "9", "0xffff"];
    tc(
        &testbed,
        &[&["filter", "add", "dev", "eth0", "ingress"], &foreign[..], &["flowid", "1:1"]].concat(),
    );
    let balancer = start(&testbed, &CLSACT);
    one_guard_until_it_is_detached(balancer, &testbed, &CLSACT);
    let filters = tc(&testbed, &["filter", "show", "dev", "eth0", "ingress"]);
    assert!(filters.contains("u32"), "{filters}");
}

/// Kills daemons, and starts others.
fn one_guard_until_it_is_detached(
    mut balancer: Balancer,
    testbed: &Testbed,
    variables: &[(&str, &str)],
) {
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        assert_eq!(guards(testbed), [1, 1]);
        balancer.stop(signal);
        assert_eq!(guards(testbed), [1, 1], "it stays when the daemon ends");
        balancer = start(testbed, variables);
    }
    balancer.stop(Signal::SIGTERM);
    let detached = detach(testbed);
    assert!(detached.status.success(), "{}", String::from_utf8_lossy(&detached.stderr));
    assert_eq!(guards(testbed), [0, 0]);
}

#[test]
#[ignore = "needs root"]
fn a_hook_is_exchanged_for_the_other() {
    let Site { mut balancer, testbed } = site(&[]);
    let first = hooks(&balancer);
    for variables in [&CLSACT[..], &[], &CLSACT] {
        balancer.stop(Signal::SIGTERM);
        balancer = start(&testbed, variables);
        let expected =
            if variables.is_empty() { first.clone() } else { vec![GuardHook::Clsact; 2] };
        assert_eq!(hooks(&balancer), expected);
        assert_eq!(guards(&testbed), [1, 1]);
    }
}

#[test]
#[ignore = "needs root"]
fn a_guard_that_is_taken_off_is_put_on_again() {
    for variables in [&[][..], &CLSACT] {
        let Site { balancer, testbed } = site(variables);
        let hook = hooks(&balancer)[0];
        take_guard_off(&testbed);
        balancer.wait_for("the guard", || guards(&testbed) == [1, 1]);
        testbed.unplug_balancer("eth0").expect("root");
        balancer.wait_for("a lost interface", || guards(&testbed)[1..] == [1]);
        testbed.replug_balancer("eth0").expect("root");
        balancer.wait_for("the guard of the recreated interface", || guards(&testbed) == [1, 1]);
        balancer.wait_for("its hook", || hooks(&balancer) == [hook; 2]);
    }
}

fn hooks(balancer: &Balancer) -> Vec<GuardHook> {
    balancer.status().interfaces.iter().map(|interface| interface.guard).collect()
}

/// Returns the number of guards on each interface, by either hook.
fn guards(testbed: &Testbed) -> Vec<usize> {
    let count = |name: &&str| by_tcx(testbed, name) + by_filter(testbed, name);
    testbed.interfaces().iter().map(count).collect()
}

/// A kernel without TCX does not support this query.
fn by_tcx(testbed: &Testbed, interface: &str) -> usize {
    let ask = || SchedClassifier::query_tcx(interface, TcAttachType::Ingress);
    let found = testbed.balancer().run(ask).expect("entered");
    let programs = found.map(|(_, programs)| programs).unwrap_or_default();
    programs.iter().filter(|program| program.name_as_str() == Some(GUARD)).count()
}

fn by_filter(testbed: &Testbed, interface: &str) -> usize {
    let shown = attempt(testbed.balancer(), "tc", &["filter", "show", "dev", interface, "ingress"]);
    String::from_utf8_lossy(&shown.stdout).matches(HANDLE).count()
}

fn guarded(balancer: &Balancer) -> u64 {
    let stats = balancer.done(&["stats", "-o", "json"]);
    let stats: Stats = serde_json::from_str(&stats).expect("the shape");
    let guarded = stats.packets.iter().find(|verdict| verdict.reason == "guarded");
    guarded.expect("named").packets
}

/// Detaches the program: without their pins, nothing else holds the links.
fn take_program_off(testbed: &Testbed) {
    let links = pins(testbed, "link_");
    assert_eq!(links.len(), testbed.interfaces().len());
    for pin in links {
        fs::remove_file(pin).expect("unpinned");
    }
}

fn take_guard_off(testbed: &Testbed) {
    for pin in pins(testbed, "guard_") {
        fs::remove_file(pin).expect("unpinned");
    }
    for interface in testbed.interfaces() {
        // There is no qdisc where the guard has a link.
        let _ = attempt(testbed.balancer(), "tc", &["qdisc", "del", "dev", interface, "clsact"]);
    }
}

fn pins(testbed: &Testbed, prefix: &str) -> Vec<PathBuf> {
    let layouts = fs::read_dir(testbed.bpffs().join("xdplb")).expect("pins");
    let pins = layouts.flat_map(|layout| fs::read_dir(layout.expect("one").path()).expect("pins"));
    let pins = pins.map(|pin| pin.expect("a pin"));
    let named = pins.filter(|pin| pin.file_name().to_string_lossy().starts_with(prefix));
    named.map(|pin| pin.path()).collect()
}

fn tc(testbed: &Testbed, arguments: &[&str]) -> String {
    let done = attempt(testbed.balancer(), "tc", arguments);
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

/// Makes the balancer's host greet like sshd, until the process ends.
fn greet(testbed: &Testbed, address: SocketAddr) {
    let listener = testbed.balancer().run(|| TcpListener::bind(address).expect("a free port"));
    let listener = listener.expect("entered");
    spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.write_all(b"SSH-2.0-host\r\n").ok();
        }
    });
}

fn greeting(from: &Host, to: SocketAddr) -> String {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&to, 5 * SECOND).expect("the host answers");
        let mut greeting = String::new();
        stream.read_to_string(&mut greeting).expect("read");
        greeting
    };
    from.namespace.run(ask).expect("entered")
}

/// Connects from a port of balanced connections, as a host does whose own range of ports overlaps
/// theirs.
fn first_bytes_from_balanced_port(to: SocketAddr) -> usize {
    let SocketAddr::V4(to) = to else { panic!("IPv4") };
    let flags = SockFlag::empty();
    let descriptor = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
    setsockopt(&descriptor, sockopt::ReuseAddr, &true).expect("set");
    let raw = descriptor.as_raw_fd();
    bind(raw, &SockaddrIn::new(10, 0, 0, 1, 20_000)).expect("a free port");
    connect(raw, &SockaddrIn::from(to)).expect("the backend answers");
    let mut stream = TcpStream::from(descriptor);
    stream.set_read_timeout(Some(5 * SECOND)).expect("set");
    stream.read(&mut [0; 10]).expect("read")
}
