//! A testbed with nginx in every backend and the daemon in front.

use std::{
    fs::{self, File},
    net::SocketAddr,
    sync::OnceLock,
};

use lb_testbed::Testbed;

use crate::{
    balancer::{Balancer, configuration, service},
    servers::{PORT, Server, nginx_everywhere},
};

pub struct Site {
    pub balancer: Balancer,
    pub servers: Vec<Server>,
    pub testbed: Testbed,
}

#[derive(Clone, Copy)]
pub enum Arms {
    One,
    Two,
}

/// Makes a site whose three backends have these weights, all of them up.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn site(arms: Arms, weights: [u16; 3]) -> Site {
    let testbed = empty_testbed(arms);
    let servers = nginx_everywhere(&testbed);
    let balancer = Balancer::start(&testbed, &text(&testbed, &weights));
    balancer.wait_for_ring_of(3);
    Site { balancer, servers, testbed }
}

/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn empty_testbed(arms: Arms) -> Testbed {
    made(match arms {
        Arms::One => Testbed::one_arm,
        Arms::Two => Testbed::two_arm,
    })
}

/// Makes a testbed of two balancers and three backends, without daemons and servers.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn empty_pair() -> Testbed {
    made(Testbed::pair)
}

fn made(make: fn(&str, usize) -> anyhow::Result<Testbed>) -> Testbed {
    const PREFIX: &str = "e2e";
    await_turn();
    Testbed::remove(PREFIX).expect("root");
    make(PREFIX, 3).expect("a testbed")
}

/// Waits until no other run of these tests is left, which would remove this one's testbeds.
fn await_turn() {
    static TURN: OnceLock<File> = OnceLock::new();
    TURN.get_or_init(|| {
        fs::create_dir_all("/run/xdplb").expect("root");
        let file = File::create("/run/xdplb/e2e.lock").expect("root");
        file.lock().expect("a lock");
        file
    });
}

/// Returns the configuration of the service `web` with one backend of the testbed for each weight.
#[must_use]
pub fn text(testbed: &Testbed, weights: &[u16]) -> String {
    let backends: Vec<_> =
        (0..).zip(weights).map(|(nth, weight)| (backend(testbed, nth), *weight)).collect();
    configuration(testbed, "") + &service("web", vip(testbed), &backends)
}

#[must_use]
pub fn vip(testbed: &Testbed) -> SocketAddr {
    (testbed.vip(), PORT).into()
}

#[must_use]
pub fn backend(testbed: &Testbed, nth: usize) -> SocketAddr {
    (testbed.backends()[nth].address, PORT).into()
}
