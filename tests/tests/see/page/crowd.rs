//! A thousand backends.

use std::net::{Ipv4Addr, SocketAddr};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::{Balancer, service},
    browser::browse,
    servers::attempt,
    site::{Site, vip},
};

use super::{open, wait_for_backends, wait_for_row};
use crate::watched::{site, watched};

/// Number of backends of a large service.
const CROWD: u16 = 1_000;

/// The network that they are in.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 0);

/// Number of rows that have been filled: those near the window.
const FILLED: &str = "[...document.querySelectorAll('tr.backend .state b')]\
    .filter((word) => word.textContent).length";

/// Scrolls down by a window's height.
const SCROLL: &str = "scrollBy(0, innerHeight)";

#[test]
#[ignore = "needs root"]
fn rows_of_a_thousand_backends_are_filled_as_they_come_into_sight() {
    let Site { balancer, servers: _servers, testbed } = site("");
    gather(&testbed, &balancer);
    browse(&testbed, async |page| {
        open(page, "").await;
        wait_for_backends(page, usize::from(CROWD) + 3).await;
        wait_for_row(page, &["up", "L4OK"]).await;
        let filled = page.value(FILLED).await.as_u64().expect("a number");
        assert!(filled < u64::from(CROWD) / 10, "{filled} rows are filled before they are seen");
        page.value(SCROLL).await;
        page.wait(&format!("{FILLED} > {filled}")).await;
        page.value("scrollTo(0, document.documentElement.scrollHeight)").await;
        wait_for_row(page, &[&place(CROWD - 1).to_string(), "up", "L4OK"]).await;
        let filled = page.value(FILLED).await.as_u64().expect("a number");
        assert!(filled < u64::from(CROWD) / 2, "{filled} rows are filled, most of them passed by");
    });
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
