//! Many backends that are one host, and are checked.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_testbed::Testbed;
use lb_tests::{
    balancer::{Balancer, configuration, service},
    servers::PORT,
};

/// Network of all backends.
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 0);

const SETTLING: Duration = Duration::from_secs(10);

/// Services of many backends each.
#[derive(Clone, Copy)]
pub(super) struct Crowd {
    pub(super) services: u16,
    /// Number of backends of each service.
    pub(super) backends: u32,
}

impl Crowd {
    /// Starts a balancer with further settings of `api`, and waits until all backends are up.
    pub(super) fn start(self, testbed: &Testbed, api: &str) -> Result<Balancer> {
        serve(testbed)?;
        testbed.balancer().add_route(NETWORK, 16, testbed.backends()[0].address)?;
        let balancer = Balancer::start(testbed, &self.text(testbed, api));
        thread::sleep(SETTLING);
        let (up, all) = (balancer.status().backends_up, u32::from(self.services) * self.backends);
        ensure!(up == all as usize, "{up} of {all} backends are up");
        Ok(balancer)
    }

    /// Returns the configuration. All backends are checked by TCP every two seconds.
    pub(super) fn text(self, testbed: &Testbed, api: &str) -> String {
        let services: String = (0..self.services).map(|nth| self.service(testbed, nth)).collect();
        configuration(testbed, "")
            + api
            + &services.replace("\"200ms\"\ntimeout", "\"2s\"\ntimeout")
    }

    fn service(self, testbed: &Testbed, nth: u16) -> String {
        let first = u32::from(NETWORK) + u32::from(nth) * self.backends + 1;
        let backends = (first..first + self.backends)
            .map(|address| ((Ipv4Addr::from(address), PORT).into(), 1));
        let vip = (testbed.vip(), PORT + nth).into();
        service(&format!("many{nth}"), vip, &backends.collect::<Vec<_>>())
    }
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
