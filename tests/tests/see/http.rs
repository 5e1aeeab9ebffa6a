//! Access to HTTP, and what it says of the balancer's state.

use lb_tests::site::Site;

use super::watched::{get, site};

#[test]
#[ignore = "needs root"]
fn a_balancer_is_ready_while_a_backend_takes_connections() {
    let Site { balancer, mut servers, testbed } = site("");
    for path in ["/healthz", "/readyz"] {
        let answer = get(&testbed, path, &[]);
        assert_eq!((answer.status, &*answer.body), (200, "ok\n"), "{path}");
    }
    servers.clear();
    balancer.wait_for_ring_of(0);
    let answer = get(&testbed, "/readyz", &[]);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.body, "no service has a backend that takes connections\n");
    assert_eq!(get(&testbed, "/healthz", &[]).status, 200);
}

#[test]
#[ignore = "needs root"]
fn only_names_of_this_host_are_answered() {
    let Site { balancer: _balancer, servers: _servers, testbed } = site("");
    let of = |host: &str| get(&testbed, "/metrics", &["--header", &format!("Host: {host}")]).status;
    assert_eq!([of("localhost:9370"), of("127.0.0.1"), of("evil.example")], [200, 200, 421]);
    let answer = get(&testbed, "/nothing", &[]);
    assert_eq!(answer.status, 404);
    for header in [
        "x-frame-options: DENY",
        "x-content-type-options: nosniff",
        "content-security-policy: default-src 'none'",
    ] {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    assert_eq!(get(&testbed, "/metrics", &["--request", "POST"]).status, 405);
}

#[test]
#[ignore = "needs root"]
fn a_token_is_asked_for() {
    let Site { balancer: _balancer, servers: _servers, testbed } =
        site("http_token = \"0123456789abcdef\"\n");
    let with = |token: &str| {
        get(&testbed, "/metrics", &["--header", &format!("Authorization: Bearer {token}")]).status
    };
    assert_eq!([with("0123456789abcdef"), with("0123456789abcdeF")], [200, 401]);
    assert_eq!(get(&testbed, "/readyz", &[]).status, 401);
}
