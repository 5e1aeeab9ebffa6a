//! Failover, recovery, and the fate of connections.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use lb_model::Health;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    requests,
    servers::nginx,
    site::{Arms, Site, backend, site, text, vip},
};
use serde_json::Value;

use crate::maps::Maps;

const PATIENCE: Duration = Duration::from_secs(10);

/// Returns the site's configuration with this line in its service, and the third backend as a
/// backup.
fn with_backup(testbed: &Testbed, line: &str) -> String {
    let vip = format!("vip = \"{}\"\n", vip(testbed));
    let third = format!("address = \"{}\"\n", backend(testbed, 2));
    let text = text(testbed, &[1; 3]).replace(&vip, &format!("{vip}{line}\n"));
    text.replace(&third, &format!("{third}backup = true\n"))
}

fn in_ring(balancer: &Balancer) -> Vec<bool> {
    balancer.services()[0].backends.iter().map(|backend| backend.in_ring).collect()
}

#[test]
#[ignore = "needs root"]
fn a_backup_joins_when_there_are_too_few_and_leaves_again() {
    let Site { balancer, mut servers, testbed } = site(Arms::Two, [1; 3]);
    balancer.reload(&with_backup(&testbed, "min_active = 2"));
    balancer.wait_for("the backup at rest", || in_ring(&balancer) == [true, true, false]);
    drop(servers.remove(0));
    balancer.wait_for("the backup at work", || in_ring(&balancer) == [false, true, true]);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 20);
    assert_eq!((answers["backend1"], answers["backend2"]), (10, 10));
    servers.push(nginx(&testbed, 0));
    balancer.wait_for("the backup at rest", || in_ring(&balancer) == [true, true, false]);
}

#[test]
#[ignore = "needs root"]
fn a_primary_that_was_replaced_waits_for_the_operator_even_over_a_restart() {
    let Site { balancer, mut servers, testbed } = site(Arms::Two, [1; 3]);
    let text = with_backup(&testbed, "failback = \"manual\"\nmin_active = 2");
    balancer.reload(&text);
    balancer.wait_for("the backup at rest", || in_ring(&balancer) == [true, true, false]);
    drop(servers.remove(0));
    balancer.wait_for("the backup at work", || in_ring(&balancer) == [false, true, true]);
    servers.push(nginx(&testbed, 0));
    balancer.wait_for("the primary up", || balancer.services()[0].backends[0].health == Health::Up);
    assert_eq!(in_ring(&balancer), [false, true, true]);
    sleep(Duration::from_secs(1));
    let since = balancer.services()[0].backends[0].since;
    balancer.stop(nix::sys::signal::Signal::SIGKILL);
    let balancer = Balancer::start(&testbed, &text);
    sleep(Duration::from_secs(1));
    assert_eq!(in_ring(&balancer), [false, true, true]);
    let view = &balancer.services()[0].backends[0];
    let reason = view.unusable.as_deref().unwrap_or_default();
    assert!(reason.contains("xdplb backend enable"), "{view:?}");
    let other = &balancer.services()[0].backends[1];
    assert!(other.since < since, "health has kept its age");
    let first = backend(&testbed, 0).to_string();
    let enable = ["backend", "enable", "web", &first, "-o", "json"];
    let outcome = |arguments: &[&str]| -> Value {
        serde_json::from_str(&balancer.done(arguments)).expect("JSON")
    };
    let tried = outcome(&[&enable[..], &["--dry-run"]].concat());
    assert_eq!(tried["changed"], true, "{tried}");
    assert_eq!(in_ring(&balancer), [false, true, true]);
    let enabled = outcome(&enable);
    assert_eq!((&enabled["changed"], &enabled["steps"]), (&tried["changed"], &tried["steps"]));
    assert_eq!(in_ring(&balancer), [true, true, false]);
    let again = outcome(&enable);
    assert_eq!(again["changed"], false, "{again}");
}

/// Opens a connection, and returns it with the name of the server that answered one request on it.
fn talk(testbed: &Testbed) -> (TcpStream, String) {
    let to = vip(testbed);
    testbed.clients()[0]
        .namespace
        .run(|| {
            let mut stream = TcpStream::connect(to).expect("connects");
            stream.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
            let answer = ask(&mut stream).expect("answered");
            let body = answer.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned();
            (stream, body)
        })
        .expect("the namespace is there")
}

fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut buffer = [0; 4_096];
    let length = stream.read(&mut buffer)?;
    if length == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Sends requests until the connection is reset.
fn wait_for_reset(stream: &mut TcpStream) {
    let begin = Instant::now();
    loop {
        match ask(stream) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return,
            _ => assert!(begin.elapsed() < PATIENCE, "nobody resets the connection"),
        }
        sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs root"]
fn clients_of_a_dead_backend_are_reset_if_the_service_says_so() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let vip_line = format!("vip = \"{}\"\n", vip(&testbed));
    let text =
        text(&testbed, &[1; 3]).replace(&vip_line, &format!("{vip_line}on_down = \"reset\"\n"));
    balancer.reload(&text);
    balancer.wait_for_ring_of(3);
    let (mut stream, server) = talk(&testbed);
    let nth: usize = server.trim_start_matches("backend").parse().expect("a number");
    // A server without power sends nothing.
    let mut unplug = Command::new("ip");
    unplug.args(["link", "set", "eth0", "down"]);
    let mut unplug = testbed.backends()[nth].namespace.spawn(&mut unplug).expect("ip is there");
    assert!(unplug.wait().expect("it ends").success());
    balancer.wait_for_ring_of(2);
    wait_for_reset(&mut stream);
}

#[test]
#[ignore = "needs root"]
fn what_is_left_at_a_drains_deadline_is_reset() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let (mut stream, server) = talk(&testbed);
    let nth: usize = server.trim_start_matches("backend").parse().expect("a number");
    let address = backend(&testbed, nth).to_string();
    let drain = ["backend", "drain", "web", &address, "--wait", "--deadline"];
    assert!(ask(&mut stream).is_ok());
    balancer.done(&[&drain[..], &["2s"]].concat());
    wait_for_reset(&mut stream);
    let log = fs::read_to_string(testbed.directory().join("log")).expect("a log");
    let line =
        format!("drain has reached its deadline service=web backend={address} connections=1");
    assert_eq!(log.matches(&line).count(), 1, "{log}");
    let view = &balancer.services()[0].backends[nth];
    assert_eq!((view.in_ring, view.active_connections), (false, 0));
}

#[test]
#[ignore = "needs root"]
fn drains_and_slow_starts_go_on_when_the_daemon_was_killed() {
    let Site { balancer, mut servers, testbed } = site(Arms::Two, [1; 3]);
    let vip_line = format!("vip = \"{}\"\n", vip(&testbed));
    let text =
        text(&testbed, &[1; 3]).replace(&vip_line, &format!("{vip_line}slow_start = \"8s\"\n"));
    balancer.reload(&text);
    balancer.wait_for_ring_of(3);
    let (mut stream, server) = talk(&testbed);
    let drained: usize = server.trim_start_matches("backend").parse().expect("a number");
    let slow = (drained + 1) % 3;
    drop(servers.remove(slow));
    balancer.wait_for_ring_of(2);
    servers.push(nginx(&testbed, slow));
    balancer.wait_for_ring_of(3);
    let address = backend(&testbed, drained).to_string();
    balancer.done(&["backend", "drain", "web", &address, "--deadline", "4s"]);
    sleep(Duration::from_secs(1));
    balancer.stop(nix::sys::signal::Signal::SIGKILL);

    let balancer = Balancer::start(&testbed, &text);
    let share_of_slow = || {
        let contents = Maps::open(&testbed).contents();
        let ring = &contents[&vip(&testbed)];
        let of = |nth| ring.iter().find(|(address, _)| *address == backend(&testbed, nth));
        (of(slow).map(|(_, share)| *share), of((drained + 2) % 3).map(|(_, share)| *share))
    };
    balancer.wait_for("a backend that has come back", || share_of_slow().0.is_some());
    let (share, whole) = share_of_slow();
    assert!(share < whole, "{share:?} of {whole:?}");
    assert!(ask(&mut stream).is_ok(), "the deadline is still to come");
    wait_for_reset(&mut stream);
    balancer.wait_for("its whole share", || share_of_slow() == (Some(1), Some(1)));
}
