//! Distribution of connections over backends.

use std::collections::HashSet;

use lb_model::views::InterfaceMode;
use lb_tests::{
    balancer::Balancer,
    requests,
    servers::{client, nginx_everywhere},
    site::{Arms, empty_testbed, site, text, vip},
};

const REQUESTS: u64 = 10_000;

fn assert_exact_round_robin(arms: Arms) {
    let site = site(arms, [1; 3]);
    let modes: Vec<_> = site.balancer.status().interfaces.iter().map(|one| one.mode).collect();
    assert!(modes.iter().all(|mode| *mode == InterfaceMode::Native), "{modes:?}");
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), REQUESTS);
    assert_eq!(answers.values().sum::<u64>(), REQUESTS);
    for name in ["backend0", "backend1", "backend2"] {
        let share = answers[name];
        assert!(share.abs_diff(REQUESTS / 3) <= 1, "{answers:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn ten_thousand_requests_are_shared_exactly_on_two_arms() {
    assert_exact_round_robin(Arms::Two);
}

#[test]
#[ignore = "needs root"]
fn ten_thousand_requests_are_shared_exactly_on_one_arm() {
    assert_exact_round_robin(Arms::One);
}

#[test]
#[ignore = "needs root"]
fn weights_give_their_shares() {
    let weights = [1, 2, 5];
    let site = site(Arms::Two, weights);
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 8_000);
    for (nth, weight) in weights.into_iter().enumerate() {
        let wanted = 1_000 * u64::from(weight);
        let got = answers[&format!("backend{nth}")];
        assert!(got.abs_diff(wanted) * 100 <= wanted, "{answers:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn several_source_addresses_take_turns() {
    let testbed = empty_testbed(Arms::Two);
    let _servers = nginx_everywhere(&testbed);
    let own = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    for address in &own[1..] {
        testbed.balancer().add_address("eth1", address.parse().expect("IPv4"), 24).expect("added");
    }
    let sources = format!("snat_addresses = {own:?}\n");
    let balancer = Balancer::start(&testbed, &(sources + &text(&testbed, &[1; 3])));
    balancer.wait_for_ring_of(3);
    let url = format!("http://{}/who", vip(&testbed));
    let seen: HashSet<_> =
        (0..9).map(|_| client(&testbed.clients()[0], "curl", &["-sSf", "-m", "5", &url])).collect();
    assert_eq!(seen, own.map(str::to_owned).into());
}
