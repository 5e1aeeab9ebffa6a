//! Daemons are killed, and replaced by others, under load.

use std::{
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use lb_testbed::Host;
use lb_tests::{
    balancer::{BINARY, Balancer},
    requests,
    site::{Arms, Site, site, text, vip},
};
use nix::sys::signal::Signal;

const REQUESTS: u64 = 100_000;
const CLIENTS: usize = 4;

/// Returns the command of a daemon with another program: with messages about every connection.
fn other() -> Command {
    let mut command = Command::new(BINARY);
    command.env("RUST_LOG", "debug");
    command
}

/// Makes one CPU handle all packets of a connection, as the queues of a NIC do. Over veth, two CPUs
/// may handle the last packet of a handshake and the request at once; a kernel whose
/// `inet_ehash_insert()` removes the old socket before it adds the new one then finds none for the
/// latter, and resets.
fn steer_by_flow(host: &Host) {
    const STEER: &str =
        "for queue in /sys/class/net/eth0/queues/rx-*; do echo 3 > $queue/rps_cpus; done";
    let mut ip = Command::new("ip");
    ip.args(["netns", "exec", host.namespace.name(), "sh", "-c", STEER]);
    assert!(ip.status().expect("iproute2").success());
}

#[test]
#[ignore = "needs root"]
fn a_hundred_thousand_requests_survive_daemons_that_are_killed_and_followed_by_others() {
    let Site { mut balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let client = &testbed.clients()[0];
    client.namespace.set_sysctl("net.ipv4.ip_local_port_range", "1024 65535").expect("root");
    testbed.backends().iter().for_each(steer_by_flow);
    let (text, to) = (text(&testbed, &[1; 3]), vip(&testbed));
    let begun = AtomicU64::new(0);
    let goes_on = || begun.fetch_add(1, Ordering::Relaxed) < REQUESTS;
    let (answers, daemons, balancer) = thread::scope(|scope| {
        let send = || requests::send_while(client, to, goes_on);
        let senders: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(send)).collect();
        let mut daemons = 1;
        while begun.load(Ordering::Relaxed) < REQUESTS {
            let signal = if daemons % 2 == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
            balancer.stop(signal);
            thread::sleep(Duration::from_millis(200));
            let next = if daemons % 3 == 0 { other() } else { Command::new(BINARY) };
            balancer = Balancer::start_by(&testbed, &text, next);
            thread::sleep(Duration::from_millis(500));
            daemons += 1;
        }
        let answers = senders.into_iter().map(|sender| sender.join().expect("no panic"));
        (answers.flatten().collect::<Vec<_>>(), daemons, balancer)
    });
    let failed: u64 = answers.iter().filter(|(by, _)| by.is_empty()).map(|(_, count)| count).sum();
    assert_eq!(failed, 0, "of {REQUESTS}, over {daemons} daemons");
    assert!(daemons > 3, "{daemons}");
    balancer.wait_for_ring_of(3);
}
