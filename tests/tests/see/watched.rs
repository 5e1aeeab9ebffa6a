//! A site whose balancer serves HTTP, and requests to it.

use std::process::{Command, Stdio};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    servers::nginx_everywhere,
    site::{Arms, Site, empty_testbed, text},
};

/// Where the balancer serves HTTP.
pub(super) const HTTP: &str = "127.0.0.1:9370";

/// Makes a site whose balancer has these further settings.
pub(super) fn site(settings: &str) -> Site {
    let testbed = empty_testbed(Arms::Two);
    let servers = nginx_everywhere(&testbed);
    let balancer = Balancer::start(&testbed, &watched(&testbed, settings));
    balancer.wait_for_ring_of(3);
    Site { balancer, servers, testbed }
}

/// Returns the configuration of a site that serves HTTP, and soon forgets closed connections.
pub(super) fn watched(testbed: &Testbed, settings: &str) -> String {
    let api = format!("[api]\nhttp = \"{HTTP}\"\n{settings}");
    let text = text(testbed, &[1; 3]).replacen("[api]\n", &api, 1);
    text + "[service.timeouts]\nclosed = \"500ms\"\n"
}

/// An answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

/// Gets a path on the balancer's own host, with further arguments of curl.
pub(super) fn get(testbed: &Testbed, path: &str, arguments: &[&str]) -> Answer {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--include", "--max-time", "20"]).args(arguments);
    curl.arg(format!("http://{HTTP}{path}")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = testbed.balancer().spawn(&mut curl).expect("curl").wait_with_output();
    let output = output.expect("ended");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path}: {said}");
    let text = String::from_utf8(output.stdout).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
