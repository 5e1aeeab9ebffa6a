//! Interfaces that disappear and return.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    thread::{scope, sleep},
    time::Instant,
};

use lb_model::views::{InterfaceMode, InterfaceView, LinkState};
use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    servers::{self, attempt},
    site::{Arms, Site, backend, empty_testbed, vip},
};

use nix::sys::signal::Signal;

use super::{SECOND, answer_within, ip, log, unchecked_site, warns};

#[test]
#[ignore = "needs root"]
fn an_interface_that_goes_down_is_said_to_be_and_used_again_when_it_is_up() {
    let testbed = empty_testbed(Arms::Two);
    let Site { balancer, testbed, .. } =
        &unchecked_site(testbed, "", |testbed| vec![backend(testbed, 0)]);
    for name in ["eth1", "eth0"] {
        ip(testbed.balancer(), &["link", "set", name, "down"]);
        balancer.wait_for("a link that is down", || {
            interface(balancer, name).link == LinkState::Down
                && warns(balancer, &format!("{name} is down"))
        });
        assert_eq!(answer_within(testbed, SECOND / 2), None);
        ip(testbed.balancer(), &["link", "set", name, "up"]);
        let begin = Instant::now();
        assert_eq!(answer_within(testbed, 3 * SECOND).as_deref(), Some("backend0"));
        eprintln!("{name} up again: first answer after {:?}", begin.elapsed());
        balancer.wait_for("a link that is up", || {
            let InterfaceView { link, mode, .. } = interface(balancer, name);
            (link, mode) == (LinkState::Up, InterfaceMode::Native)
        });
    }
}

#[test]
#[ignore = "needs root"]
fn an_interface_that_is_made_anew_gets_the_program_again() {
    let testbed = empty_testbed(Arms::Two);
    let Site { balancer, testbed, .. } =
        &unchecked_site(testbed, "", |testbed| vec![backend(testbed, 0)]);
    for name in ["eth1", "eth0", "eth1"] {
        let before = interface(balancer, name).ifindex;
        testbed.unplug_balancer(name).expect("root");
        balancer.wait_for("a link that is gone", || {
            interface(balancer, name).link == LinkState::Gone
                && warns(balancer, &format!("{name} is gone"))
        });
        balancer.signal(Signal::SIGHUP);
        balancer.wait_for("a reload without it", || {
            log(testbed).contains("configuration file reloaded")
        });
        testbed.replug_balancer(name).expect("root");
        ip(&testbed.clients()[0].namespace, &["neigh", "flush", "dev", "eth0"]);
        let begin = Instant::now();
        assert_eq!(answer_within(testbed, 3 * SECOND).as_deref(), Some("backend0"));
        eprintln!("{name} recreated: first answer after {:?}", begin.elapsed());
        let now = interface(balancer, name);
        assert_ne!(now.ifindex, before);
        assert_eq!((now.link, now.mode), (LinkState::Up, InterfaceMode::Native));
    }
    let links = links(testbed);
    assert_eq!(links.len(), 2, "the dead ones are forgotten: {links:?}");
    let log = log(testbed);
    assert!(log.contains("interface was recreated interface=eth1"), "{log}");
    assert!(log.contains("interface is up, with the program attached interface=eth1"), "{log}");
}

#[test]
#[ignore = "needs root"]
fn a_download_goes_on_over_interfaces_that_are_made_anew() {
    let testbed = empty_testbed(Arms::Two);
    let Site { testbed, .. } = &unchecked_site(testbed, "", |testbed| {
        fs::create_dir_all(servers::root(testbed)).expect("root");
        let file = File::create(servers::root(testbed).join("endless")).expect("root");
        file.set_len(1 << 40).expect("a sparse file");
        vec![backend(testbed, 0)]
    });
    let received = AtomicU64::new(0);
    let so_far = || received.load(Ordering::Relaxed);
    scope(|scope| {
        let download = || download_until_silence(vip(testbed), "/files/endless", &received);
        let client = &testbed.clients()[0].namespace;
        let download = scope.spawn(move || client.run(download).expect("a namespace"));
        sleep(SECOND / 2);
        for name in ["eth0", "eth1", "eth0"] {
            testbed.unplug_balancer(name).expect("root");
            sleep(SECOND);
            testbed.replug_balancer(name).expect("root");
            // It has another MAC address now, and frames to the former one reach nobody.
            for host in [&testbed.clients()[0], &testbed.backends()[0]] {
                ip(&host.namespace, &["neigh", "flush", "dev", "eth0"]);
            }
            let before = so_far();
            sleep(3 * SECOND);
            assert!(so_far() > before, "{name}: nothing more after {before} bytes");
        }
        testbed.unplug_balancer("eth0").expect("root");
        download.join().expect("no panic");
    });
}

#[test]
#[ignore = "needs root"]
fn a_program_that_somebody_takes_off_is_put_on_again() {
    let testbed = empty_testbed(Arms::Two);
    let Site { testbed, .. } = &unchecked_site(testbed, "", |testbed| vec![backend(testbed, 0)]);
    let link = links(testbed)[0].display().to_string();
    let detach = attempt(testbed.balancer(), "bpftool", &["link", "detach", "pinned", &link]);
    assert!(detach.status.success(), "{}", String::from_utf8_lossy(&detach.stderr));
    sleep(SECOND);
    assert_eq!(answer_within(testbed, 2 * SECOND).as_deref(), Some("backend0"));
}

/// Downloads an endless file, until nothing has arrived for five seconds.
fn download_until_silence(from: SocketAddr, path: &str, received: &AtomicU64) {
    let mut stream = TcpStream::connect(from).expect("connected");
    stream.set_read_timeout(Some(5 * SECOND)).expect("set");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
    let mut buffer = vec![0; 1 << 16];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        received.fetch_add(bytes.try_into().expect("few"), Ordering::Relaxed);
    }
}

fn interface(balancer: &Balancer, name: &str) -> InterfaceView {
    let interfaces = balancer.status().interfaces;
    interfaces.into_iter().find(|interface| interface.name == name).expect("configured")
}

/// Returns the pinned links of the program.
fn links(testbed: &Testbed) -> Vec<PathBuf> {
    let layouts = fs::read_dir(testbed.bpffs().join("xdplb")).expect("pins");
    let pins = layouts.flat_map(|layout| fs::read_dir(layout.expect("one").path()).expect("pins"));
    let paths = pins.map(|pin| pin.expect("a pin").path());
    paths.filter(|path| path.display().to_string().contains("link_")).collect()
}
