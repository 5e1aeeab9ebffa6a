//! The network around the balancer changes, and traffic goes on.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use lb_tests::{
    balancer::{Balancer, configuration},
    requests,
    servers::{self, PORT, Server, attempt, client, nginx_everywhere},
};
use lb_userspace::{
    bed::{Bed, Namespace},
    control::{InterfaceMode, InterfaceView, LinkState},
};
use nix::sys::signal::Signal;

use crate::bed::{Arms, Site, backend, empty_bed, vip};

/// How long one request may take.
const REQUEST: Duration = Duration::from_millis(100);

/// What is promised of changes.
const SECOND: Duration = Duration::from_secs(1);

/// An address that is reached over routers only.
const REMOTE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

#[test]
#[ignore = "needs root"]
fn a_backend_whose_mac_changes_without_a_word_is_followed_within_a_second() {
    let bed = empty_bed(Arms::Two);
    let Site { bed, .. } = &unchecked_site(bed, "", |bed| vec![backend(bed, 0)]);
    for (last, announced) in [(1, "0"), (2, "0"), (3, "1"), (4, "0")] {
        let host = &bed.backends()[0].namespace;
        host.set_sysctl("net.ipv4.conf.eth0.arp_notify", announced).expect("root");
        let mac = format!("02:00:00:00:aa:{last:02}");
        let silence = silence_while(bed, || ip(host, &["link", "set", "eth0", "address", &mac]));
        eprintln!("another MAC, announced {announced}: no answer for {silence:?}");
        assert!(silence < SECOND, "{silence:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_backend_that_another_host_takes_over_is_followed_within_a_second() {
    let bed = empty_bed(Arms::Two);
    let Site { bed, .. } = &unchecked_site(bed, "", |bed| vec![backend(bed, 0)]);
    let address = format!("{}/24", bed.backends()[0].address);
    for (former, next, name) in [(0, 1, "backend1"), (1, 2, "backend2")] {
        let silence = silence_while(bed, || {
            ip(&bed.backends()[former].namespace, &["addr", "del", &address, "dev", "eth0"]);
            ip(&bed.backends()[next].namespace, &["addr", "add", &address, "dev", "eth0"]);
        });
        eprintln!("another host: no answer for {silence:?}");
        assert!(silence < SECOND, "{silence:?}");
        assert_eq!(answer_within(bed, SECOND).as_deref(), Some(name));
    }
}

#[test]
#[ignore = "needs root"]
fn an_interface_that_goes_down_is_said_to_be_and_used_again_when_it_is_up() {
    let bed = empty_bed(Arms::Two);
    let Site { balancer, bed, .. } = &unchecked_site(bed, "", |bed| vec![backend(bed, 0)]);
    for name in ["eth1", "eth0"] {
        ip(bed.balancer(), &["link", "set", name, "down"]);
        balancer.wait_for("a link that is down", || {
            interface(balancer, name).link == LinkState::Down
                && warns(balancer, &format!("{name} is down"))
        });
        assert_eq!(answer_within(bed, SECOND / 2), None);
        ip(bed.balancer(), &["link", "set", name, "up"]);
        let begin = Instant::now();
        assert_eq!(answer_within(bed, 3 * SECOND).as_deref(), Some("backend0"));
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
    let bed = empty_bed(Arms::Two);
    let Site { balancer, bed, .. } = &unchecked_site(bed, "", |bed| vec![backend(bed, 0)]);
    for name in ["eth1", "eth0", "eth1"] {
        let before = interface(balancer, name).ifindex;
        bed.unplug_balancer(name).expect("root");
        balancer.wait_for("a link that is gone", || {
            interface(balancer, name).link == LinkState::Gone
                && warns(balancer, &format!("{name} is gone"))
        });
        bed.replug_balancer(name).expect("root");
        ip(&bed.clients()[0].namespace, &["neigh", "flush", "dev", "eth0"]);
        let begin = Instant::now();
        assert_eq!(answer_within(bed, 3 * SECOND).as_deref(), Some("backend0"));
        eprintln!("{name} made anew: first answer after {:?}", begin.elapsed());
        let now = interface(balancer, name);
        assert_ne!(now.ifindex, before);
        assert_eq!((now.link, now.mode), (LinkState::Up, InterfaceMode::Native));
    }
    let links = fs::read_dir(bed.bpffs().join("xdplb")).expect("pins").flat_map(|layout| {
        let pins = fs::read_dir(layout.expect("a layout").path()).expect("pins");
        pins.map(|pin| pin.expect("a pin").file_name().into_string().expect("text"))
    });
    let links: Vec<_> = links.filter(|name| name.starts_with("link_")).collect();
    assert_eq!(links.len(), 2, "the dead ones are forgotten: {links:?}");
    let log = log(bed);
    assert!(log.contains("eth1 has been made anew"), "{log}");
    assert!(log.contains("eth1 is up, with the program on it"), "{log}");
}

#[test]
#[ignore = "needs root"]
fn a_download_goes_on_over_interfaces_that_are_made_anew() {
    let bed = empty_bed(Arms::Two);
    let Site { bed, .. } = &unchecked_site(bed, "", |bed| {
        fs::create_dir_all(servers::root(bed)).expect("root");
        let file = File::create(servers::root(bed).join("endless")).expect("root");
        file.set_len(1 << 40).expect("a sparse file");
        vec![backend(bed, 0)]
    });
    let received = AtomicU64::new(0);
    let so_far = || received.load(Ordering::Relaxed);
    scope(|scope| {
        let download = || download_until_silence(vip(bed), "/files/endless", &received);
        let client = &bed.clients()[0].namespace;
        let download = scope.spawn(move || client.run(download).expect("a namespace"));
        sleep(SECOND / 2);
        for name in ["eth0", "eth1", "eth0"] {
            bed.unplug_balancer(name).expect("root");
            sleep(SECOND);
            bed.replug_balancer(name).expect("root");
            let before = so_far();
            sleep(3 * SECOND);
            assert!(so_far() > before, "{name}: nothing more after {before} bytes");
        }
        bed.unplug_balancer("eth0").expect("root");
        download.join().expect("no panic");
    });
}

#[test]
#[ignore = "needs root"]
fn a_program_that_somebody_takes_off_is_put_on_again() {
    let bed = empty_bed(Arms::Two);
    let Site { bed, .. } = &unchecked_site(bed, "", |bed| vec![backend(bed, 0)]);
    let pins = bed.bpffs().join("xdplb");
    let link = fs::read_dir(pins).expect("pins").flat_map(|layout| {
        fs::read_dir(layout.expect("a layout").path()).expect("pins").map(|pin| pin.expect("a pin"))
    });
    let link = link.map(|pin| pin.path()).find(|path| path.display().to_string().contains("link_"));
    let link = link.expect("a link").display().to_string();
    let detach = attempt(bed.balancer(), "bpftool", &["link", "detach", "pinned", &link]);
    assert!(detach.status.success(), "{}", String::from_utf8_lossy(&detach.stderr));
    sleep(SECOND);
    assert_eq!(answer_within(bed, 2 * SECOND).as_deref(), Some("backend0"));
}

#[test]
#[ignore = "needs root"]
fn routes_are_followed_to_other_routers_and_interfaces_and_back() {
    let mut bed = empty_bed(Arms::Two);
    bed.add_client().expect("root");
    let Site { balancer, bed, servers } = &mut unchecked_site(bed, "", |bed| {
        for host in bed.backends().iter().chain(&bed.clients()[1..]) {
            ip(&host.namespace, &["addr", "add", &format!("{REMOTE}/32"), "dev", "lo"]);
        }
        ip(bed.balancer(), &["route", "add", &REMOTE.to_string(), "via", "10.0.0.11"]);
        vec![(REMOTE, PORT).into()]
    });
    let neighbour = &bed.clients()[1];
    let as_backend2 = bed.directory().join("nginx2/nginx.conf").display().to_string();
    drop(servers.pop());
    servers.push(servers::start(&neighbour.namespace, "nginx", &["-c", &as_backend2]));
    for (gateway, name) in [
        (bed.backends()[1].address, "backend1"),
        (neighbour.address, "backend2"),
        (bed.backends()[0].address, "backend0"),
    ] {
        let silence = silence_while(bed, || {
            let [to, gateway] = [REMOTE.to_string(), gateway.to_string()];
            ip(bed.balancer(), &["route", "replace", &to, "via", &gateway]);
        });
        eprintln!("route over {gateway}: no answer for {silence:?}");
        assert!(silence < SECOND, "{silence:?}");
        assert_eq!(answer_within(bed, SECOND).as_deref(), Some(name));
    }
    ip(bed.balancer(), &["route", "del", &REMOTE.to_string()]);
    let reason = format!("no route to {REMOTE}");
    balancer.wait_for("no route", || warns(balancer, &reason));
    assert_eq!(answer_within(bed, SECOND / 2), None);
    ip(bed.balancer(), &["route", "add", &REMOTE.to_string(), "via", "10.0.0.12"]);
    assert_eq!(answer_within(bed, SECOND).as_deref(), Some("backend1"));
}

#[test]
#[ignore = "needs root"]
fn source_addresses_that_come_and_go_are_followed() {
    let bed = empty_bed(Arms::Two);
    let rest = "snat_addresses = [\"10.0.0.2\"]";
    let Site { balancer, bed, .. } = &unchecked_site(bed, rest, |bed| vec![backend(bed, 0)]);
    let missing = "10.0.0.2 of `snat_addresses` is on no interface";
    let who = format!("http://{}/who", vip(bed));
    let seen = || client(&bed.clients()[0], "curl", &["-sS", "-m", "2", &who]);
    for _ in 0..2 {
        assert_eq!(seen(), "10.0.0.1");
        assert!(warns(balancer, missing));
        ip(bed.balancer(), &["addr", "add", "10.0.0.2/24", "dev", "eth1"]);
        balancer.wait_for("the source", || seen() == "10.0.0.2");
        assert!(!warns(balancer, missing));
        ip(bed.balancer(), &["addr", "del", "10.0.0.2/24", "dev", "eth1"]);
        balancer.wait_for("the kernel's choice", || seen() == "10.0.0.1");
    }
}

#[test]
#[ignore = "needs root"]
fn events_that_were_lost_are_read_anew() {
    let bed = empty_bed(Arms::Two);
    let Site { balancer, bed, .. } = &unchecked_site(bed, "", |bed| vec![backend(bed, 0)]);
    balancer.signal(Signal::SIGSTOP);
    let batch = bed.directory().join("batch");
    let mut lines = String::new();
    for nth in 0..20_000 {
        let address = Ipv4Addr::from([10, 0, 0, 100 + u8::try_from(nth / 2 % 100).expect("few")]);
        let verb = if nth % 2 == 0 { "replace" } else { "del" };
        let mac = if nth % 2 == 0 { "lladdr 02:00:00:00:00:01 nud permanent" } else { "" };
        writeln!(lines, "neigh {verb} {address} dev eth1 {mac}").expect("a string");
    }
    fs::write(&batch, lines).expect("written");
    ip(bed.balancer(), &["-batch", &batch.display().to_string()]);
    // After all that these are lost.
    ip(bed.balancer(), &["addr", "add", "10.0.0.3/24", "dev", "eth1"]);
    bed.unplug_balancer("eth1").expect("root");
    bed.replug_balancer("eth1").expect("root");
    let host = &bed.backends()[0].namespace;
    ip(host, &["link", "set", "eth0", "address", "02:00:00:00:bb:01"]);
    balancer.signal(Signal::SIGCONT);
    let begin = Instant::now();
    assert_eq!(answer_within(bed, 3 * SECOND).as_deref(), Some("backend0"));
    eprintln!("after an overrun: first answer after {:?}", begin.elapsed());
    let log = log(bed);
    assert!(log.contains("reading the kernel's network anew"), "{log}");
}

#[test]
#[ignore = "needs root"]
fn a_thousand_neighbours_cost_little_and_are_all_followed() {
    let bed = empty_bed(Arms::Two);
    let addresses: Vec<SocketAddr> = (1..=200u8)
        .flat_map(|last| (0..5u8).map(move |net| ([10, 1, net, last], PORT).into()))
        .collect();
    let batch = bed.directory().join("batch");
    let lines = addresses.iter().map(|one| format!("addr add {}/16 dev eth0\n", one.ip()));
    fs::write(&batch, lines.collect::<String>()).expect("written");
    let batch = batch.display().to_string();
    let Site { balancer, bed, .. } = &unchecked_site(bed, "", |bed| {
        ip(bed.balancer(), &["addr", "add", "10.1.255.1/16", "dev", "eth1"]);
        ip(&bed.backends()[0].namespace, &["addr", "add", "10.1.255.2/16", "dev", "eth0"]);
        ip(&bed.backends()[0].namespace, &["-batch", &batch]);
        addresses
    });
    balancer.wait_for_ring_of(1000);
    let pid = balancer.status().pid;
    let (before, begin) = (cpu_time(pid), Instant::now());
    sleep(5 * SECOND);
    let share = cpu_time(pid).saturating_sub(before).as_secs_f64() / begin.elapsed().as_secs_f64();
    eprintln!("a thousand neighbours: {:.1} % of a CPU", share * 100.0);
    assert!(share < 0.2, "{share}");
    let silence = silence_while(bed, || {
        let host = &bed.backends()[0].namespace;
        ip(host, &["link", "set", "eth0", "address", "02:00:00:00:cc:01"]);
    });
    eprintln!("a thousand neighbours with another MAC: no answer for {silence:?}");
    assert!(silence < 3 * SECOND / 2, "{silence:?}");
}

/// A site whose only service has these backends, which nobody checks.
fn unchecked_site(bed: Bed, settings: &str, prepare: impl FnOnce(&Bed) -> Vec<SocketAddr>) -> Site {
    let backends = prepare(&bed);
    let mut text = configuration(&bed, settings);
    let vip = vip(&bed);
    writeln!(text, "[[service]]\nname = \"web\"\nvip = \"{vip}\"\nhealth.type = \"none\"")
        .expect("a string");
    for address in &backends {
        writeln!(text, "[[service.backend]]\naddress = \"{address}\"").expect("a string");
    }
    let servers: Vec<Server> = nginx_everywhere(&bed);
    let balancer = Balancer::start(&bed, &text);
    balancer.wait_for_ring_of(backends.len());
    Site { balancer, servers, bed }
}

/// The longest time without an answer while something is done, and for two seconds after it.
fn silence_while(bed: &Bed, work: impl FnOnce()) -> Duration {
    let goes_on = AtomicBool::new(true);
    scope(|scope| {
        let send = || {
            let going = || goes_on.load(Ordering::Relaxed);
            requests::longest_silence(&bed.clients()[0], vip(bed), REQUEST, going)
        };
        let sender = scope.spawn(send);
        sleep(SECOND / 2);
        work();
        sleep(2 * SECOND);
        goes_on.store(false, Ordering::Relaxed);
        sender.join().expect("no panic")
    })
}

/// Downloads what never ends, until nothing has come for five seconds.
fn download_until_silence(from: SocketAddr, path: &str, received: &AtomicU64) {
    let mut stream = TcpStream::connect(from).expect("connected");
    stream.set_read_timeout(Some(5 * SECOND)).expect("set");
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
    let mut buffer = vec![0; 1 << 16];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        received.fetch_add(bytes.try_into().expect("few"), Ordering::Relaxed);
    }
}

fn answer_within(bed: &Bed, longest: Duration) -> Option<String> {
    requests::first_answer(&bed.clients()[0], vip(bed), REQUEST, longest)
}

fn interface(balancer: &Balancer, name: &str) -> InterfaceView {
    let interfaces = balancer.status().interfaces;
    interfaces.into_iter().find(|interface| interface.name == name).expect("configured")
}

fn warns(balancer: &Balancer, what: &str) -> bool {
    balancer.status().warnings.iter().any(|warning| warning.contains(what))
}

fn log(bed: &Bed) -> String {
    fs::read_to_string(bed.directory().join("log")).expect("a log")
}

fn ip(namespace: &Namespace, arguments: &[&str]) {
    let output = attempt(namespace, "ip", arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}: {said}");
}

/// How long a process has run on CPUs.
fn cpu_time(pid: u32) -> Duration {
    /// What the kernel counts in: `USER_HZ`.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| TICK * ticks.parse::<u32>().expect("a number")).sum()
}
