//! Backends that fail and recover.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use lb_model::Health;
use lb_tests::{
    conversations::End,
    requests,
    servers::nginx,
    site::{Arms, site, text, vip},
};

/// Two failed checks, 200 ms apart and each of 200 ms at most; a poll and its answer.
const FALL_TIME: Duration = Duration::from_millis(2 * (200 + 200) + 400);

#[test]
#[ignore = "needs root"]
fn a_killed_backend_leaves_in_time_and_comes_back() {
    let mut site = site(Arms::Two, [1; 3]);
    drop(site.servers.remove(1));
    let killed = Instant::now();
    site.balancer.wait_for_ring_of(2);
    assert!(killed.elapsed() <= FALL_TIME, "{:?}", killed.elapsed());
    let view = &site.balancer.services()[0].backends[1];
    assert_eq!((view.health, view.in_ring), (Health::Down, false));
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 100);
    assert_eq!(
        answers.into_iter().collect::<Vec<_>>(),
        [("backend0".to_owned(), 50), ("backend2".to_owned(), 50)]
    );
    site.servers.push(nginx(&site.testbed, 1));
    site.balancer.wait_for_ring_of(3);
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 90);
    assert_eq!(answers["backend1"], 30);
}

#[test]
#[ignore = "needs root"]
fn without_backends_connections_are_refused_at_once() {
    let mut site = site(Arms::Two, [1; 3]);
    site.servers.clear();
    site.balancer.wait_for_ring_of(0);
    let begin = Instant::now();
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 20);
    assert_eq!(answers[""], 20);
    assert!(begin.elapsed() < Duration::from_secs(2), "a reset comes at once, silence does not");
    let status = site.balancer.status();
    assert!(status.warnings.iter().any(|warning| warning.contains("web: no backend")));
}

#[test]
#[ignore = "needs root"]
fn draining_loses_no_request() {
    let site = site(Arms::Two, [1; 3]);
    let goes_on = AtomicBool::new(true);
    let answers = thread::scope(|scope| {
        let client = &site.testbed.clients()[0];
        let to = vip(&site.testbed);
        let going = || goes_on.load(Ordering::Relaxed);
        let sender = scope.spawn(move || requests::send_while(client, to, going));
        let end = End(&goes_on);
        let address = lb_tests::site::backend(&site.testbed, 0).to_string();
        for _ in 0..5 {
            for verb in ["drain", "enable", "disable", "enable"] {
                let _ = site.balancer.done(&["backend", verb, "web", &address]);
                thread::sleep(Duration::from_millis(50));
            }
        }
        drop(end);
        sender.join().expect("no panic")
    });
    assert!(answers.values().sum::<u64>() > 100, "{answers:?}");
    assert_eq!(answers.get(""), None, "{answers:?}");
}

#[test]
#[ignore = "needs root"]
fn a_server_that_answers_with_the_wrong_status_is_down() {
    let site = site(Arms::Two, [1; 3]);
    let of_http = |path: &str| {
        let check = format!("[service.health]\ntype = \"http\"\npath = \"{path}\"");
        text(&site.testbed, &[1; 3]).replace("[service.health]", &check)
    };
    site.balancer.reload(&of_http("/files/nothing"));
    site.balancer.wait_for("servers down", || {
        let services = site.balancer.services();
        services[0].backends.iter().all(|backend| !backend.in_ring)
    });
    let detail = &site.balancer.services()[0].backends[0].detail;
    assert!(detail.starts_with("L7STS/404"), "{detail}");
    site.balancer.reload(&of_http("/"));
    site.balancer.wait_for_ring_of(3);
    let detail = &site.balancer.services()[0].backends[0].detail;
    assert!(detail.starts_with("L7OK/200 answered in "), "{detail}");
}
