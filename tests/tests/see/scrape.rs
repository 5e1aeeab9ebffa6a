//! Metrics of many services.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Instant,
};

use lb_tests::{
    requests,
    site::{Site, vip},
};

use super::watched::{get, site, watched};

const SERVICES: u16 = 1_000;
const BACKENDS: u8 = 10;
const SCRAPES: u8 = 5;

/// Where the backends are, which nobody checks.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 0);

#[test]
#[ignore = "needs root"]
fn samples_of_a_thousand_services_are_all_there_while_the_loop_and_packets_go_on() {
    let Site { balancer, servers: _servers, testbed } = site("");
    testbed.balancer().add_route(NETWORK, 16, testbed.backends()[0].address).expect("a route");
    balancer.reload(&(watched(&testbed, "") + &many(vip(&testbed).ip())));
    let expected = usize::from(SERVICES) * usize::from(BACKENDS) + 3;
    let scrape = || get(&testbed, "/metrics", &[]).body;
    balancer.wait_for("metrics of all backends", || count(&scrape(), "backend_up") == expected);
    thread::scope(|scope| {
        let scraping = scope.spawn(|| {
            for _ in 0..SCRAPES {
                let begun = Instant::now();
                let text = scrape();
                println!("{} bytes in {:?}", text.len(), begun.elapsed());
                for name in ["backend_connections_total", "backend_weight", "backend_source_ports"]
                {
                    assert_eq!(count(&text, name), expected, "{name}");
                }
            }
        });
        while !scraping.is_finished() {
            let answers = requests::send(&testbed.clients()[0], vip(&testbed), 10);
            assert!(!answers.contains_key(""), "{answers:?}");
            // The loop answers it.
            balancer.done(&["history"]);
        }
    });
}

/// Returns the number of samples of a metric.
fn count(text: &str, name: &str) -> usize {
    let begin = format!("xdplb_{name}{{");
    text.lines().filter(|line| line.starts_with(&begin)).count()
}

/// Returns the configuration of many services on this address.
fn many(vip: IpAddr) -> String {
    let mut text = String::new();
    for nth in 0..SERVICES {
        let port = 8_000 + nth;
        write!(
            text,
            "[[service]]\nname = \"s{nth}\"\nvip = \"{vip}:{port}\"\nhealth.type = \"none\"\n"
        )
        .expect("a string takes anything");
        for backend in 1..=BACKENDS {
            let [a, b, ..] = NETWORK.octets();
            let address = Ipv4Addr::new(a, b, 0, backend);
            writeln!(text, "[[service.backend]]\naddress = \"{address}:{port}\"")
                .expect("a string takes anything");
        }
    }
    text
}
