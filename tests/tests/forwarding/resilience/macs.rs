//! Backends whose MAC address or next hop changes.

use std::{fs, net::SocketAddr, thread::sleep, time::Instant};

use lb_tests::{
    processes::cpu_time,
    servers::PORT,
    site::{Arms, Site, backend, empty_testbed},
};

use super::{FOLLOWED, SECOND, answer_within, ip, silence_while, unchecked_site};

#[test]
#[ignore = "needs root"]
fn a_backend_whose_mac_changes_without_a_word_is_followed() {
    let testbed = empty_testbed(Arms::Two);
    let Site { testbed, .. } = &unchecked_site(testbed, "", |testbed| vec![backend(testbed, 0)]);
    for (last, announced) in [(1, "0"), (2, "0"), (3, "1"), (4, "0")] {
        let host = &testbed.backends()[0].namespace;
        host.set_sysctl("net.ipv4.conf.eth0.arp_notify", announced).expect("root");
        let mac = format!("02:00:00:00:aa:{last:02}");
        let silence =
            silence_while(testbed, || ip(host, &["link", "set", "eth0", "address", &mac]));
        eprintln!("another MAC, announced {announced}: no answer for {silence:?}");
        assert!(silence < FOLLOWED, "{silence:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_backend_that_another_host_takes_over_is_followed() {
    let testbed = empty_testbed(Arms::Two);
    let Site { testbed, .. } = &unchecked_site(testbed, "", |testbed| vec![backend(testbed, 0)]);
    let address = format!("{}/24", testbed.backends()[0].address);
    for (former, next, name) in [(0, 1, "backend1"), (1, 2, "backend2")] {
        let silence = silence_while(testbed, || {
            ip(&testbed.backends()[former].namespace, &["addr", "del", &address, "dev", "eth0"]);
            ip(&testbed.backends()[next].namespace, &["addr", "add", &address, "dev", "eth0"]);
        });
        eprintln!("another host: no answer for {silence:?}");
        assert!(silence < FOLLOWED, "{silence:?}");
        assert_eq!(answer_within(testbed, SECOND).as_deref(), Some(name));
    }
}

#[test]
#[ignore = "needs root"]
fn a_thousand_neighbours_cost_little_and_are_all_followed() {
    let _room = Room::make();
    let testbed = empty_testbed(Arms::Two);
    let addresses: Vec<SocketAddr> = (1..=200u8)
        .flat_map(|last| (0..5u8).map(move |net| ([10, 1, net, last], PORT).into()))
        .collect();
    let batch = testbed.directory().join("batch");
    let lines = addresses.iter().map(|one| format!("addr add {}/16 dev eth0\n", one.ip()));
    fs::write(&batch, lines.collect::<String>()).expect("written");
    let batch = batch.display().to_string();
    let Site { balancer, testbed, .. } = &unchecked_site(testbed, "", |testbed| {
        ip(testbed.balancer(), &["addr", "add", "10.1.255.1/16", "dev", "eth1"]);
        ip(&testbed.backends()[0].namespace, &["addr", "add", "10.1.255.2/16", "dev", "eth0"]);
        ip(&testbed.backends()[0].namespace, &["-batch", &batch]);
        addresses
    });
    balancer.wait_for_ring_of(1000);
    let pid = balancer.status().pid;
    let (before, begin) = (cpu_time(pid), Instant::now());
    sleep(5 * SECOND);
    let share = cpu_time(pid).saturating_sub(before).as_secs_f64() / begin.elapsed().as_secs_f64();
    eprintln!("a thousand neighbours: {:.1} % of a CPU", share * 100.0);
    let silence = silence_while(testbed, || {
        let host = &testbed.backends()[0].namespace;
        ip(host, &["link", "set", "eth0", "address", "02:00:00:00:cc:01"]);
    });
    eprintln!("a thousand neighbours with another MAC: no answer for {silence:?}");
    assert!(silence < FOLLOWED, "{silence:?}");
}

/// Room for more neighbours than the kernel's limit for all namespaces together, while this lives.
struct Room {
    before: String,
}

impl Room {
    const LIMIT: &str = "/proc/sys/net/ipv4/neigh/default/gc_thresh3";

    fn make() -> Self {
        let before = fs::read_to_string(Self::LIMIT).expect("readable");
        fs::write(Self::LIMIT, "8192").expect("root");
        Self { before }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        fs::write(Self::LIMIT, &self.before).expect("root");
    }
}
