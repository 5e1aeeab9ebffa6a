//! A thousand backends.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread::sleep,
    time::Duration,
};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::{Balancer, service},
    browser::browse,
    processes::cpu_time,
    servers::attempt,
    site::{Site, vip},
};

use super::{open, wait_for_backends, wait_for_row};
use crate::watched::{site, watched};

/// Number of backends of a large service.
const CROWD: u16 = 1_000;

/// The network that they are in.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 0);

/// Time for which the daemon is measured.
const MEASURED: Duration = Duration::from_secs(10);

/// Scrolls to the end, and returns the median time between two pictures in milliseconds.
const SCROLL: &str = "new Promise((done) => {
    const times = [];
    let before = performance.now();
    const step = (now) => {
        times.push(now - before);
        before = now;
        scrollBy(0, 300);
        const isAtEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 1;
        if (isAtEnd) done(times.sort((one, other) => one - other)[times.length >> 1]);
        else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
})";

#[test]
#[ignore = "needs root"]
fn a_thousand_backends_scroll_and_cost_little() {
    let Site { balancer, servers: _servers, testbed } = site("");
    gather(&testbed, &balancer);
    let mut watched = Duration::ZERO;
    browse(&testbed, async |page| {
        open(page, "").await;
        wait_for_backends(page, usize::from(CROWD) + 3).await;
        watched = used(&balancer);
        let pause = page.value(SCROLL).await;
        assert!(pause.as_f64().is_some_and(|pause| pause < 50.0), "a picture takes {pause} ms");
        wait_for_row(page, &[&place(CROWD - 1).to_string(), "up", "L4OK"]).await;
    });
    let alone = used(&balancer);
    let share = watched.saturating_sub(alone).as_secs_f64() / MEASURED.as_secs_f64();
    println!("a viewer costs {:.2} % of a core: {watched:?}, and {alone:?} without", share * 100.0);
    assert!(share < 0.02, "that is too much");
}

/// Adds a service with many backends, all of them on one host.
fn gather(testbed: &Testbed, balancer: &Balancer) {
    let host = &testbed.backends()[0];
    testbed.balancer().add_route(NETWORK, 16, host.address).expect("a route");
    let network = format!("{NETWORK}/16");
    let added = attempt(&host.namespace, "ip", &["route", "add", "local", &network, "dev", "lo"]);
    assert!(added.status.success(), "{added:?}");
    let backends: Vec<_> = (0..CROWD).map(|nth| (place(nth), 1)).collect();
    let crowd = service("crowd", SocketAddr::new(vip(testbed).ip(), 81), &backends);
    let rarely_checked = crowd.replacen("interval = \"200ms\"", "interval = \"2s\"", 1);
    balancer.reload(&(watched(testbed, "") + &rarely_checked));
    balancer.wait_for_ring_of(usize::from(CROWD) + 3);
}

fn place(nth: u16) -> SocketAddr {
    (Ipv4Addr::from(u32::from(NETWORK) + 1 + u32::from(nth)), 80).into()
}

/// Returns the CPU time that the daemon uses.
fn used(balancer: &Balancer) -> Duration {
    let before = cpu_time(balancer.pid());
    sleep(MEASURED);
    cpu_time(balancer.pid()).saturating_sub(before)
}
