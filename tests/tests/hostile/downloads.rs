//! A testbed with our own servers and the daemon in front: these tests also run in small guests,
//! which have no web server.

use std::{
    fs::{self, File},
    net::SocketAddr,
    process::Command,
    sync::OnceLock,
};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::{BINARY, Balancer, configuration, service},
    downloads,
};

pub const PORT: u16 = 80;

pub struct Site {
    pub balancer: Balancer,
    pub testbed: Testbed,
}

/// Makes a balancer between a client and two backends that answer by downloads. The daemon's
/// environment has these variables, too.
pub fn site(variables: &[(&str, &str)]) -> Site {
    let testbed = empty_testbed();
    testbed.backends().iter().for_each(|host| downloads::serve(host, PORT));
    let balancer = start(&testbed, variables);
    balancer.wait_for_ring_of(testbed.backends().len());
    Site { balancer, testbed }
}

pub fn start(testbed: &Testbed, variables: &[(&str, &str)]) -> Balancer {
    let mut command = Command::new(BINARY);
    command.envs(variables.iter().copied());
    Balancer::start_by(testbed, &text(testbed), command)
}

pub fn text(testbed: &Testbed) -> String {
    let backends = testbed.backends().iter().map(|host| ((host.address, PORT).into(), 1));
    configuration(testbed, "") + &service("web", vip(testbed), &backends.collect::<Vec<_>>())
}

pub fn vip(testbed: &Testbed) -> SocketAddr {
    (testbed.vip(), PORT).into()
}

pub fn empty_testbed() -> Testbed {
    const PREFIX: &str = "hostile";
    await_turn();
    Testbed::remove(PREFIX).expect("root");
    Testbed::two_arm(PREFIX, 2).expect("a testbed")
}

/// Waits until no other run of these tests is left, which would remove this one's testbeds.
fn await_turn() {
    static TURN: OnceLock<File> = OnceLock::new();
    TURN.get_or_init(|| {
        fs::create_dir_all("/run/xdplb").expect("root");
        let file = File::create("/run/xdplb/hostile.lock").expect("root");
        file.lock().expect("a lock");
        file
    });
}
