//! A bed with servers of our own and the daemon in front: these tests run in small guests too, which
//! have no web server.

use std::{
    fs::{self, File},
    net::SocketAddr,
    process::Command,
    sync::OnceLock,
};

use lb_tests::{
    balancer::{BINARY, Balancer, configuration, service},
    downloads,
};
use lb_userspace::bed::Bed;

pub const PORT: u16 = 80;

pub struct Site {
    pub balancer: Balancer,
    pub bed: Bed,
}

/// A balancer between a client and two backends that answer by downloads. The daemon's environment
/// has these variables too.
pub fn site(variables: &[(&str, &str)]) -> Site {
    let bed = empty_bed();
    bed.backends().iter().for_each(|host| downloads::serve(host, PORT));
    let balancer = start(&bed, variables);
    balancer.wait_for_ring_of(bed.backends().len());
    Site { balancer, bed }
}

pub fn start(bed: &Bed, variables: &[(&str, &str)]) -> Balancer {
    let mut command = Command::new(BINARY);
    command.envs(variables.iter().copied());
    Balancer::start_by(bed, &text(bed), command)
}

pub fn text(bed: &Bed) -> String {
    let backends = bed.backends().iter().map(|host| ((host.address, PORT).into(), 1));
    configuration(bed, "") + &service("web", vip(bed), &backends.collect::<Vec<_>>())
}

pub fn vip(bed: &Bed) -> SocketAddr {
    (bed.vip(), PORT).into()
}

pub fn empty_bed() -> Bed {
    const PREFIX: &str = "hostile";
    await_turn();
    Bed::remove(PREFIX).expect("root");
    Bed::two_arm(PREFIX, 2).expect("a bed")
}

/// Waits until no other run of these tests is left, which would take this one's beds away.
fn await_turn() {
    static TURN: OnceLock<File> = OnceLock::new();
    TURN.get_or_init(|| {
        fs::create_dir_all("/run/xdplb").expect("root");
        let file = File::create("/run/xdplb/hostile.lock").expect("root");
        file.lock().expect("a lock");
        file
    });
}
