//! Native XDP in a driver: virtio, with several queues.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lb_common::reason::Reason;
use lb_model::views::{InterfaceMode, Stats, Status, explanation::Explanation};
use lb_testbed::{Host, Testbed};
use lb_tests::{
    requests,
    servers::{nginx_everywhere, root},
    site::{Arms, backend, empty_testbed, vip},
};

use crate::{
    initramfs::Initramfs,
    kernel::Package,
    shell::Shell,
    suites,
    tap::{Nic, Taps},
};

/// With two CPUs, one card has separate queues for XDP, the other shares them with the stack.
const NICS: [Nic; 2] = [
    Nic { interface: "eth0", lan: "clients", queues: 4 },
    Nic { interface: "eth1", lan: "servers", queues: 2 },
];

const CONFIGURATION: &str = "/xdplb.toml";
const LOG: &str = "/run/xdplb.log";
const TRACED: &str = "/run/traced";

const REQUESTS: u64 = 60;
/// More than a segment, to reveal offloads.
const DOWNLOAD: usize = 1 << 20;

/// Timeout, far longer than it takes.
const LONGEST: Duration = Duration::from_mins(5);
const PATIENCE: Duration = Duration::from_secs(20);

/// A guest balances between hosts on two LANs; one of the servers is also a client, so that its
/// packets leave on the input interface.
pub fn forwards(package: &Package) {
    // Guests run at the same time, but testbeds have the same name.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let testbed = empty_testbed(Arms::Two);
    let servers = nginx_everywhere(&testbed);
    let taps = Taps::plug(&testbed, &NICS);
    let mut guest = boot(package, &testbed, &taps);
    start_daemon(&mut guest);
    assert_is_native(&mut guest);

    let (client, server) = (&testbed.clients()[0], &testbed.backends()[0]);
    let inside = "10.0.0.1".parse().expect("an address");
    server.namespace.add_route(testbed.vip(), 32, inside).expect("root");
    for host in [client, server] {
        let answers = requests::send(host, vip(&testbed), REQUESTS);
        assert_eq!(answers.get(""), None, "{answers:?}\n{}", report(&mut guest));
        assert_eq!(answers.len(), servers.len(), "{answers:?}");
    }
    fs::create_dir_all(root(&testbed)).expect("a directory");
    fs::write(root(&testbed).join("large"), vec![7; DOWNLOAD]).expect("written");
    let bytes = download(client, vip(&testbed), "/files/large");
    assert!(bytes > DOWNLOAD, "{bytes} bytes\n{}", report(&mut guest));

    assert_has_forwarded(&mut guest);
    assert_is_native(&mut guest);
    assert_can_be_watched(&mut guest, &testbed);
    guest.end();
}

fn boot(package: &Package, testbed: &Testbed, taps: &Taps<'_>) -> Shell {
    let kernel = package.kernel();
    let mut initramfs = Initramfs::new(&kernel);
    initramfs.add_xdplb();
    initramfs.add_program(&suites::find("ethtool"));
    initramfs.write(CONFIGURATION.as_ref(), configuration(testbed).as_bytes());
    let mut guest = Shell::boot(&kernel, initramfs, taps, LONGEST);
    guest.run("modprobe virtio_pci && modprobe virtio_net");
    for Nic { interface, .. } in NICS {
        guest.run(&format!("ip link set {interface} up"));
    }
    guest.run(&format!(
        "ip address add 203.0.113.1/24 dev eth0 && ip address add {}/32 dev eth0 && ip address add \
         10.0.0.1/24 dev eth1",
        testbed.vip()
    ));
    guest
}

fn configuration(testbed: &Testbed) -> String {
    let head = "interfaces = [\"eth0\", \"eth1\"]\nstate_dir = \"/var/lib/xdplb\"\n\
                    limits.flows = 10_000\n[api]\nsocket = \"/run/xdplb.sock\"\n";
    let service = format!("[[service]]\nname = \"web\"\nvip = \"{}\"\n", vip(testbed));
    let backends = (0..testbed.backends().len()).map(|nth| backend(testbed, nth));
    let backends =
        backends.map(|address| format!("[[service.backend]]\naddress = \"{address}\"\n"));
    [head.to_owned(), service].into_iter().chain(backends).collect()
}

fn start_daemon(guest: &mut Shell) {
    guest.run(&format!("xdplb run -c {CONFIGURATION} >{LOG} 2>&1 &"));
    let is_ready = |output: &str| {
        let status = serde_json::from_str::<Status>(output);
        status.is_ok_and(|status| status.backends_in_use == 3)
    };
    guest.wait_for("backends in use", &xdplb("status -o json"), is_ready);
}

fn assert_is_native(guest: &mut Shell) {
    let status = guest.run(&xdplb("status -o json"));
    let status: Status = serde_json::from_str(&status).expect("the shape");
    let modes: Vec<_> = status.interfaces.iter().map(|one| (one.name.as_str(), one.mode)).collect();
    let native = NICS.map(|nic| (nic.interface, InterfaceMode::Native));
    assert_eq!(modes, native, "{}", report(guest));
}

/// Checks the variants of the program, which each kernel's verifier must accept as well.
fn assert_can_be_watched(guest: &mut Shell, testbed: &Testbed) {
    let (client, vip) = (&testbed.clients()[0], vip(testbed));
    let explained = guest.run(&xdplb(&format!("explain {}:40000 {vip} -o json", client.address)));
    let explained: Explanation = serde_json::from_str(&explained).expect("the shape");
    assert_eq!(explained.reason, Reason::Forwarded.as_str(), "{}", report(guest));

    guest.run(&format!("{} >{TRACED} 2>&1 &", xdplb("trace --count 4")));
    let is_traced = |output: &str| {
        assert_eq!(requests::send(client, vip, 1).get(""), None);
        output.contains("4 packets recorded")
    };
    guest.wait_for("traced packets", &format!("cat {TRACED}"), is_traced);
}

/// Checks the driver's counters, which count only native XDP, and ours.
fn assert_has_forwarded(guest: &mut Shell) {
    let report = report(guest);
    for Nic { interface, queues, .. } in NICS {
        let counters = guest.run(&format!("ethtool --statistics {interface}"));
        let sum = |of| by_queue(&counters, of).values().sum::<u64>();
        let received = by_queue(&counters, "xdp_packets");
        println!("{interface}: {received:?} by XDP, of {queues} queues");
        let used = received.values().filter(|packets| **packets >= REQUESTS / 4).count();
        assert!(used >= 2, "{interface}: {received:?}\n{counters}\n{report}");
        assert!(sum("xdp_redirects") > REQUESTS, "{interface}: {counters}\n{report}");
        let is_sent_back = interface == "eth1";
        assert!(!is_sent_back || sum("xdp_tx") > REQUESTS, "{interface}: {counters}\n{report}");
        assert_eq!(sum("xdp_drops"), 0, "{interface}: {counters}\n{report}");
    }
    let stats = guest.run(&xdplb("stats -o json"));
    let stats: Stats = serde_json::from_str(&stats).expect("the shape");
    for reason in [Reason::Forwarded, Reason::Replied] {
        let counted = stats.packets.iter().find(|one| one.reason == reason.as_str());
        let packets = counted.expect("each reason").packets;
        assert!(packets > 4 * REQUESTS, "{packets} {reason:?}\n{report}");
    }
}

/// Returns a counter of each receive queue of a virtio card, by the queue's name.
fn by_queue<'a>(counters: &'a str, which: &str) -> BTreeMap<&'a str, u64> {
    let counters = counters.lines().filter_map(|line| line.trim().split_once(": "));
    let of_queues = counters.filter_map(|(name, count)| {
        let queue = name.strip_suffix(which)?.trim_end_matches('_');
        // Newer drivers also have a counter for all queues together.
        let is_one = queue.starts_with("rx") && queue.ends_with(|end: char| end.is_ascii_digit());
        is_one.then_some((queue, count.trim().parse().ok()?))
    });
    of_queues.collect()
}

fn download(from: &Host, to: SocketAddr, path: &str) -> usize {
    let fetch = || -> std::io::Result<usize> {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new())
    };
    from.namespace.run(fetch).expect("the namespace is there").expect("a whole answer")
}

fn report(guest: &mut Shell) -> String {
    guest.run(&format!("cat {LOG}; {}; {}; dmesg | tail -n 30", xdplb("status"), xdplb("stats")))
}

fn xdplb(verb: &str) -> String {
    format!("xdplb {verb} --socket /run/xdplb.sock")
}
