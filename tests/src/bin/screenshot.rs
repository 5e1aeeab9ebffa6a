//! Takes a picture of the status page of a balancer that has something to show.

use std::{
    collections::VecDeque,
    env, fs,
    net::{SocketAddr, TcpStream},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lb_testbed::Testbed;
use lb_tests::{
    balancer::{BINARY, Balancer, configuration, service},
    browser::{Scheme, browse},
    servers::{self, Server},
};

const PREFIX: &str = "page";
const HTTP: &str = "127.0.0.1:9370";

/// Time that the lines in the picture show.
const TIME: Duration = Duration::from_secs(62);

/// Number of connections that each service has open.
const OPEN: usize = 40;

/// Size of the picture in pixels.
const SIZE: (u32, u32) = (1360, 740);

/// A service: its name, its port, and the weights of its backends.
type Planned = (&'static str, u16, &'static [u16]);

const SERVICES: [Planned; 4] = [
    ("api", 443, &[1, 2, 2]),
    ("db-write", 5432, &[1, 1]),
    ("metrics", 9090, &[1, 1]),
    ("web", 80, &[1, 1, 1, 1]),
];

fn main() -> Result<()> {
    let file = env::args_os().nth(1).context("usage: screenshot FILE")?;
    Testbed::remove(PREFIX)?;
    let testbed = Testbed::two_arm(PREFIX, 4)?;
    let mut servers: Vec<_> =
        SERVICES.iter().flat_map(|planned| serve(&testbed, planned)).collect();
    let balancer = Balancer::start(&testbed, &text(&testbed));
    balancer.wait_for_ring_of(servers.len());
    let end = Instant::now() + TIME;
    scope(|scope| {
        for (nth, planned) in (1u8..).zip(&SERVICES) {
            let testbed = &testbed;
            scope.spawn(move || visit(testbed, planned.1, 12.0 * f64::from(nth), end));
        }
        browse(&testbed, async |page| {
            let (width, height) = SIZE;
            page.appear(width, height, Scheme::Light).await;
            page.goto(&format!("http://{HTTP}/")).await;
            sleep(TIME / 2);
            change(&testbed, &balancer);
            drop(servers.pop());
            sleep(end.saturating_duration_since(Instant::now()));
            fs::write(&file, page.picture().await).expect("written");
        });
    });
    Ok(())
}

/// Takes two backends out of use.
fn change(testbed: &Testbed, balancer: &Balancer) {
    let [draining, spare] = [(0, 443), (1, 5432)].map(|(nth, port)| place(testbed, nth, port));
    balancer.done(&["backend", "drain", "api", &draining.to_string(), "--deadline", "5m"]);
    balancer.done(&["backend", "set", "db-write", &spare.to_string(), "--backup"]);
}

fn text(testbed: &Testbed) -> String {
    let api = format!("[api]\nhttp = \"{HTTP}\"\n");
    let services = SERVICES.map(|(name, port, weights)| {
        let backends: Vec<_> =
            (0..).zip(weights).map(|(nth, weight)| (place(testbed, nth, port), *weight)).collect();
        service(name, SocketAddr::from((testbed.vip(), port)), &backends)
    });
    configuration(testbed, "").replacen("[api]\n", &api, 1) + &services.concat()
}

/// Starts the servers of a service.
fn serve(testbed: &Testbed, (_, port, weights): &Planned) -> Vec<Server> {
    let servers = (0..weights.len()).map(|nth| {
        let (name, address) = (format!("backend{nth}"), place(testbed, nth, *port).to_string());
        servers::start(&testbed.backends()[nth].namespace, BINARY, &["respond", &name, &address])
    });
    servers.collect()
}

fn place(testbed: &Testbed, nth: usize, port: u16) -> SocketAddr {
    (testbed.backends()[nth].address, port).into()
}

/// Opens connections, the last of which stay open, at a rate that rises and falls.
fn visit(testbed: &Testbed, port: u16, pace: f64, end: Instant) {
    let to = SocketAddr::from((testbed.vip(), port));
    let visiting = || {
        let mut open = VecDeque::new();
        while Instant::now() < end {
            open.extend(TcpStream::connect_timeout(&to, Duration::from_secs(1)));
            if open.len() > OPEN {
                open.pop_front();
            }
            let left = end.saturating_duration_since(Instant::now()).as_secs_f64();
            let rate = pace * (2.0 + (left / (3.0 + pace / 20.0)).sin());
            sleep(Duration::from_secs_f64(1.0 / rate));
        }
    };
    testbed.clients()[0].namespace.run(visiting).expect("the client's namespace");
}
