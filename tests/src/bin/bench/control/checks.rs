//! Cost of many health checks.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    balancer::{Balancer, configuration, service},
    processes::cpu_time,
    servers::PORT,
};
use lb_userspace::testbed::Testbed;

use super::{Extent, Row, testbed};
use crate::plan::Plan;

/// Network of all backends; one host has all of it.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 0);

const SETTLING: Duration = Duration::from_secs(10);
const ROUND: Duration = Duration::from_secs(4);

/// Measures the share of a core for checks of this many backends every two seconds.
pub(super) fn measure(extent: &Extent) -> Result<Row> {
    let testbed = testbed()?;
    serve(&testbed)?;
    testbed.balancer().add_route(NETWORK, 16, testbed.backends()[0].address)?;
    let backends = (1..=extent.checks).map(|nth| {
        let address = Ipv4Addr::from(u32::from(NETWORK) + nth);
        ((address, PORT).into(), 1)
    });
    let text = service("many", (testbed.vip(), PORT).into(), &backends.collect::<Vec<_>>());
    let text = text.replace("\"200ms\"\ntimeout", "\"2s\"\ntimeout");
    let balancer = Balancer::start(&testbed, &(configuration(&testbed, "") + &text));
    thread::sleep(SETTLING);
    let up = balancer.status().backends_up;
    ensure!(up == extent.checks as usize, "{up} of {} backends are up", extent.checks);
    let mut shares = Vec::new();
    for _ in 0..extent.rounds.div_ceil(10) {
        Plan::check()?;
        let (begin, before) = (Instant::now(), cpu_time(balancer.pid()));
        thread::sleep(ROUND);
        let used = cpu_time(balancer.pid()).saturating_sub(before);
        shares.push(100.0 * used.as_secs_f64() / begin.elapsed().as_secs_f64());
    }
    Ok(Row::new("TCP checks of all backends every 2 s", "% of a core", shares))
}

/// Makes the first host accept connections to all addresses.
fn serve(testbed: &Testbed) -> Result<()> {
    let host = &testbed.backends()[0].namespace;
    let mut ip = Command::new("ip");
    ip.args(["route", "add", "local", &format!("{NETWORK}/16"), "dev", "lo"]);
    ensure!(host.spawn(&mut ip)?.wait()?.success(), "no route to oneself");
    let server = host.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))?;
    let server = server.context("nobody else should listen there")?;
    thread::spawn(move || server.incoming().for_each(drop));
    Ok(())
}
