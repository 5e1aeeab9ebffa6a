//! Servers that refuse connections. There are no checks here: only backends' answers count.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::{Balancer, configuration},
    servers::{Server, nginx, nginx_everywhere},
    site::{Arms, Site, backend, empty_testbed, vip},
};

/// Longer than three SYNs take.
const PATIENCE: Duration = Duration::from_secs(15);

fn unchecked_site(settings: &str) -> Site {
    let testbed = empty_testbed(Arms::Two);
    let servers: Vec<Server> = nginx_everywhere(&testbed);
    let mut text = configuration(&testbed, "")
        + &format!("[[service]]\nname = \"web\"\nvip = \"{}\"\n{settings}\n", vip(&testbed))
        + "health.type = \"none\"\n";
    for nth in 0..3 {
        let address = backend(&testbed, nth);
        writeln!(text, "[[service.backend]]\naddress = \"{address}\"").expect("a string");
    }
    let balancer = Balancer::start(&testbed, &text);
    balancer.wait_for("backends in the ring", || {
        balancer.services()[0].backends.iter().filter(|one| one.in_ring).count() == 3
    });
    Site { balancer, servers, testbed }
}

/// Returns the name of the server that answers a request.
fn request(testbed: &Testbed) -> io::Result<String> {
    fn exchange(to: SocketAddr) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.lines().last().unwrap_or_default().to_owned())
    }
    let to = vip(testbed);
    testbed.clients()[0].namespace.run(|| exchange(to)).expect("enters the namespace")
}

fn refusing(balancer: &Balancer) -> Vec<bool> {
    balancer.services()[0].backends.iter().map(|one| one.refusing).collect()
}

#[test]
#[ignore = "needs root"]
fn a_server_that_is_killed_costs_no_connection_and_is_back_when_it_is() {
    let Site { balancer, mut servers, testbed } = unchecked_site("");
    drop(servers.remove(1));
    for _ in 0..30 {
        let answer = request(&testbed).expect("another server answers");
        assert_ne!(answer, "backend1");
    }
    balancer
        .wait_for("the backend shown as refusing", || refusing(&balancer) == [false, true, false]);
    servers.push(nginx(&testbed, 1));
    // A single connection is tried there after ten seconds.
    balancer.wait_for("an end of that", || {
        request(&testbed).expect("answered");
        refusing(&balancer) == [false; 3]
    });
    balancer.wait_for("an answer of it", || request(&testbed).expect("answered") == "backend1");
}

#[test]
#[ignore = "needs root"]
fn a_service_whose_servers_are_all_dead_refuses() {
    let Site { servers, testbed, .. } = unchecked_site("");
    drop(servers);
    for _ in 0..3 {
        let error = request(&testbed).expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
}

#[test]
#[ignore = "needs root"]
fn refusals_are_passed_on_if_that_is_wanted() {
    let Site { mut servers, testbed, .. } = unchecked_site("on_refused = \"pass\"");
    drop(servers.remove(1));
    let errors = (0..3).filter_map(|_| request(&testbed).err());
    let kinds: Vec<_> = errors.map(|error| error.kind()).collect();
    assert_eq!(kinds, [ErrorKind::ConnectionRefused]);
}
