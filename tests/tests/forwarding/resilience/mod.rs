//! The network around the balancer changes, and forwarding continues.

mod interfaces;
mod macs;
mod routes;

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread::{scope, sleep},
    time::Duration,
};

use lb_testbed::{Namespace, Testbed};
use lb_tests::{
    balancer::{Balancer, configuration},
    conversations::End,
    requests,
    servers::{Server, attempt, nginx_everywhere},
    site::{Site, vip},
};

/// Maximum duration of one request.
const REQUEST: Duration = Duration::from_millis(100);

/// The documented bound on changes.
const SECOND: Duration = Duration::from_secs(1);

/// Bound on changes that are followed within a second, on a busy machine. The kernel alone takes
/// half a minute.
const FOLLOWED: Duration = Duration::from_secs(8);

/// Makes a site whose only service has these backends, without checks.
fn unchecked_site(
    testbed: Testbed,
    settings: &str,
    prepare: impl FnOnce(&Testbed) -> Vec<SocketAddr>,
) -> Site {
    let backends = prepare(&testbed);
    let mut text = configuration(&testbed, settings);
    let vip = vip(&testbed);
    writeln!(text, "[[service]]\nname = \"web\"\nvip = \"{vip}\"\nhealth.type = \"none\"")
        .expect("a string");
    for address in &backends {
        writeln!(text, "[[service.backend]]\naddress = \"{address}\"").expect("a string");
    }
    let servers: Vec<Server> = nginx_everywhere(&testbed);
    let balancer = Balancer::start(&testbed, &text);
    balancer.wait_for_ring_of(backends.len());
    Site { balancer, servers, testbed }
}

/// Returns the longest time without an answer during some work and for two seconds after it.
fn silence_while(testbed: &Testbed, work: impl FnOnce()) -> Duration {
    let goes_on = AtomicBool::new(true);
    scope(|scope| {
        let send = || {
            let going = || goes_on.load(Ordering::Relaxed);
            requests::longest_silence(&testbed.clients()[0], vip(testbed), REQUEST, going)
        };
        let sender = scope.spawn(send);
        let end = End(&goes_on);
        sleep(SECOND / 2);
        work();
        sleep(2 * SECOND);
        drop(end);
        sender.join().expect("no panic")
    })
}

fn answer_within(testbed: &Testbed, longest: Duration) -> Option<String> {
    requests::first_answer(&testbed.clients()[0], vip(testbed), REQUEST, longest)
}

fn warns(balancer: &Balancer, what: &str) -> bool {
    balancer.status().warnings.iter().any(|warning| warning.contains(what))
}

fn log(testbed: &Testbed) -> String {
    fs::read_to_string(testbed.directory().join("log")).expect("a log")
}

fn ip(namespace: &Namespace, arguments: &[&str]) {
    let output = attempt(namespace, "ip", arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}: {said}");
}
