//! Who may see the page, and what happens when the daemon goes away.

use lb_tests::{balancer::Balancer, browser::browse, servers::attempt, site::Site};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{open, wait_for_row, wait_for_text};
use crate::watched::{HTTP, get, site, watched};

#[test]
#[ignore = "needs root"]
fn a_browser_sends_the_token_as_a_password() {
    const TOKEN: &str = "0123456789abcdef";
    let Site { balancer: _balancer, servers: _servers, testbed } =
        site(&format!("http_token = \"{TOKEN}\"\n"));
    let answer = get(&testbed, "/", &[]);
    assert_eq!(answer.status, 401);
    assert!(answer.head.contains("www-authenticate: Basic realm="), "{}", answer.head);
    browse(&testbed, async |page| {
        page.goto(&format!("http://anybody:{TOKEN}@{HTTP}/")).await;
        wait_for_row(page, &["web", "3/3 up"]).await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_is_started_again_is_followed_again() {
    let Site { balancer, servers: _servers, testbed } = site("");
    browse(&testbed, async |page| {
        open(page, "").await;
        page.value("window.isSame = true").await;
        balancer.stop(Signal::SIGKILL);
        wait_for_text(page, "#live", "no data for").await;
        let balancer = Balancer::start(&testbed, &watched(&testbed, ""));
        wait_for_text(page, "#daemon", &format!("pid {} ", balancer.pid())).await;
        wait_for_text(page, "#live", "live").await;
        assert_eq!(page.value("window.isSame").await, true, "without a reload");
        let complaints = page.log().await;
        let is_of_events = |entry: &Value| entry["message"].to_string().contains("/events");
        assert!(complaints.iter().all(is_of_events), "{complaints:#?}");
    });
}

#[test]
#[ignore = "needs root"]
fn viewers_are_limited() {
    let Site { balancer: _balancer, servers: _servers, testbed } = site("");
    let viewers = format!("http://{HTTP}/events?[1-20]");
    let manner = ["--silent", "--parallel", "--parallel-immediate", "--max-time", "3"];
    let output = ["--output", "/dev/null", "--write-out", "%{http_code}\n", &viewers];
    let said = attempt(testbed.balancer(), "curl", &[&manner[..], &output].concat()).stdout;
    let said = String::from_utf8(said).expect("text");
    let count = |status: &str| said.lines().filter(|line| *line == status).count();
    assert_eq!((count("200"), count("503")), (16, 4), "{said}");
}
