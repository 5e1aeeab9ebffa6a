//! A bed with nginx in every backend and the daemon in front.

use std::{
    fs::{self, File},
    net::SocketAddr,
    sync::OnceLock,
};

use lb_userspace::bed::Bed;

use crate::{
    balancer::{Balancer, configuration, service},
    servers::{PORT, Server, nginx_everywhere},
};

pub struct Site {
    pub balancer: Balancer,
    pub servers: Vec<Server>,
    pub bed: Bed,
}

#[derive(Clone, Copy)]
pub enum Arms {
    One,
    Two,
}

/// A site whose three backends have these weights, all of them up.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn site(arms: Arms, weights: [u16; 3]) -> Site {
    let bed = empty_bed(arms);
    let servers = nginx_everywhere(&bed);
    let balancer = Balancer::start(&bed, &text(&bed, &weights));
    balancer.wait_for_ring_of(3);
    Site { balancer, servers, bed }
}

/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn empty_bed(arms: Arms) -> Bed {
    const PREFIX: &str = "e2e";
    await_turn();
    Bed::remove(PREFIX).expect("root");
    let bed = match arms {
        Arms::One => Bed::one_arm(PREFIX, 3),
        Arms::Two => Bed::two_arm(PREFIX, 3),
    };
    bed.expect("a bed")
}

/// Waits until no other run of these tests is left, which would take this one's beds away.
fn await_turn() {
    static TURN: OnceLock<File> = OnceLock::new();
    TURN.get_or_init(|| {
        fs::create_dir_all("/run/xdplb").expect("root");
        let file = File::create("/run/xdplb/e2e.lock").expect("root");
        file.lock().expect("a lock");
        file
    });
}

/// The configuration of the service `web` with as many of the bed's backends as there are weights.
#[must_use]
pub fn text(bed: &Bed, weights: &[u16]) -> String {
    let backends: Vec<_> =
        (0..).zip(weights).map(|(nth, weight)| (backend(bed, nth), *weight)).collect();
    configuration(bed, "") + &service("web", vip(bed), &backends)
}

#[must_use]
pub fn vip(bed: &Bed) -> SocketAddr {
    (bed.vip(), PORT).into()
}

#[must_use]
pub fn backend(bed: &Bed, nth: usize) -> SocketAddr {
    (bed.backends()[nth].address, PORT).into()
}
