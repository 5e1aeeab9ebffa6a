//! Bulk transfers.

use std::fs;

use lb_tests::{
    balancer::{Balancer, configuration, service},
    servers::{client, root, start},
    site::{Arms, empty_testbed, site, vip},
};

const BODY: usize = 100 << 20;

#[test]
#[ignore = "needs root"]
fn a_hundred_megabytes_arrive_bit_for_bit() {
    let site = site(Arms::Two, [1; 3]);
    let mut state = 1_u64;
    let body: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(BODY)
    .collect();
    let files = root(&site.testbed);
    fs::create_dir_all(&files).expect("a directory");
    fs::write(files.join("big"), &body).expect("written");
    let got = site.testbed.directory().join("got");
    let url = format!("http://{}/files/big", vip(&site.testbed));
    let target = got.display().to_string();
    let _ = client(&site.testbed.clients()[0], "curl", &["-sSf", "-m", "60", "-o", &target, &url]);
    assert!(fs::read(&got).expect("a file") == body, "the body differs");
}

#[test]
#[ignore = "needs root"]
fn wrk_gets_nothing_but_answers() {
    let site = site(Arms::Two, [1; 3]);
    let url = format!("http://{}/", vip(&site.testbed));
    for extra in [&[][..], &["-H", "Connection: close"]] {
        let arguments = [&["-t1", "-c32", "-d3", url.as_str()], extra].concat();
        let report = client(&site.testbed.clients()[0], "wrk", &arguments);
        assert!(report.contains("Requests/sec"), "{report}");
        assert!(!report.contains("Socket errors"), "{report}");
        assert!(!report.contains("Non-2xx"), "{report}");
    }
}

#[test]
#[ignore = "needs root"]
fn iperf3_runs_eight_streams() {
    const PORT: u16 = 5201;
    let testbed = empty_testbed(Arms::Two);
    let host = &testbed.backends()[0];
    let _server = start(&host.namespace, "iperf3", &["-s"]);
    let vip = (testbed.vip(), PORT).into();
    let rest = service("iperf", vip, &[((host.address, PORT).into(), 1)]);
    let balancer = Balancer::start(&testbed, &(configuration(&testbed, "") + &rest));
    balancer.wait_for_ring_of(1);
    let to = testbed.vip().to_string();
    let report = client(&testbed.clients()[0], "iperf3", &["-c", &to, "-P8", "-t3", "-J"]);
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let received = report["end"]["sum_received"]["bytes"].as_f64().expect("a number");
    assert!(received > 1e6, "{received}");
}
