//! The daemon's state under attack: partial changes, damaged maps, a damaged journal, clocks that
//! jump, and a host that uses the same ports.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Output,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use aya::maps::{Array, Map, MapData};
use lb_common::{
    LAYOUT,
    backend::Backend,
    ring::{Ring, SLOTS, Slots},
    service::{Service, ServiceKey},
    service_table::{IndexBucket, Record},
    snat::Source,
};
use lb_dataplane::{ServiceTable, maps::Table as _};
use lb_testbed::Testbed;
use lb_tests::{
    balancer::{BINARY, Balancer, configuration, service},
    conversations::End,
    requests::{self, Answers},
    servers::{attempt, nginx_everywhere},
    site::{Arms, Site, backend, empty_testbed, site, text, vip},
};
use nix::sys::signal::Signal;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn log(testbed: &Testbed) -> String {
    fs::read_to_string(testbed.directory().join("log")).expect("a log")
}

/// Returns the VIP of a second service.
fn other_vip(testbed: &Testbed) -> SocketAddr {
    (testbed.vip(), 81).into()
}

/// Returns two services, each with a name and the numbers of its backends.
fn two(testbed: &Testbed, [first, second]: [(&str, &[usize]); 2]) -> String {
    let backends = |numbers: &[usize]| -> Vec<_> {
        numbers.iter().map(|nth| (backend(testbed, *nth), 1)).collect()
    };
    configuration(testbed, "")
        + &service(first.0, vip(testbed), &backends(first.1))
        + &service(second.0, other_vip(testbed), &backends(second.1))
}

/// Sends requests to both VIPs during some work, and returns the answers.
fn answers_meanwhile(testbed: &Testbed, work: impl FnOnce()) -> [Answers; 2] {
    let goes_on = AtomicBool::new(true);
    let going = || goes_on.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let senders = [vip(testbed), other_vip(testbed)]
            .map(|to| scope.spawn(move || requests::send_while(&testbed.clients()[0], to, going)));
        let end = End(&goes_on);
        work();
        drop(end);
        senders.map(|sender| sender.join().expect("no panic"))
    })
}

#[test]
#[ignore = "needs root"]
fn services_that_are_renamed_or_exchange_what_they_have_refuse_nobody() {
    let testbed = empty_testbed(Arms::Two);
    let _servers = nginx_everywhere(&testbed);
    let texts: [[(&str, &[usize]); 2]; 6] = [
        [("web", &[0]), ("shop", &[1])],
        // Backends are exchanged, then names, then both.
        [("web", &[1]), ("shop", &[0])],
        [("shop", &[1]), ("web", &[0])],
        [("web", &[0]), ("shop", &[1])],
        // Other names; and a backend that was never checked.
        [("a", &[0]), ("b", &[1])],
        [("a", &[2]), ("b", &[1, 0])],
    ];
    let texts = texts.map(|services| two(&testbed, services));
    let balancer = Balancer::start(&testbed, &texts[0]);
    balancer.wait_for_ring_of(2);
    let file = testbed.directory().join("other.toml");
    let answers = answers_meanwhile(&testbed, || {
        for text in texts.iter().cycle().skip(1).take(5 * texts.len()) {
            fs::write(&file, text).expect("written");
            balancer.done(&["apply", "-c", file.to_str().expect("text")]);
        }
    });
    for answers in answers {
        assert!(answers.values().sum::<u64>() > 100, "{answers:?}");
        assert_eq!(answers.get(""), None, "{answers:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_renamed_service_keeps_its_drains_and_its_counters() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let first = backend(&testbed, 0).to_string();
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
    assert_eq!(answers["backend1"], 10);
    balancer.done(&["backend", "drain", "web", &first, "--deadline", "1h"]);
    let before = balancer.services().remove(0);
    balancer.reload(&text(&testbed, &[1; 3]).replace("\"web\"", "\"shop\""));
    balancer.wait_for("the other name", || balancer.services()[0].name == "shop");
    let after = balancer.services().remove(0);
    for (before, after) in before.backends.iter().zip(&after.backends) {
        assert_eq!((before.admin, before.drain_until), (after.admin, after.drain_until));
        assert_eq!((before.health, before.since), (after.health, after.since));
        assert_eq!(before.connections_total, after.connections_total);
    }
    // The same for a daemon that finds another name when it starts.
    balancer.stop(Signal::SIGTERM);
    let balancer =
        Balancer::start(&testbed, &text(&testbed, &[1; 3]).replace("\"web\"", "\"third\""));
    let started = balancer.services().remove(0);
    assert_eq!(started.name, "third");
    assert_eq!(started.backends[0].drain_until, after.backends[0].drain_until);
    assert_eq!(started.backends[1].since, after.backends[1].since);
}

fn pinned(testbed: &Testbed, name: &str) -> MapData {
    MapData::from_pin(testbed.bpffs().join(format!("xdplb/v{LAYOUT}/{name}"))).expect("pinned")
}

fn services(testbed: &Testbed) -> ServiceTable {
    let [index, records] = ["SERVICE_INDEX", "SERVICES"].map(|name| pinned(testbed, name));
    ServiceTable::of_maps(&index, &records).expect("mapped")
}

/// Leaves words in the index as a writer that was killed does, and others of no use.
fn spoil_index(testbed: &Testbed) {
    let map = Map::Array(pinned(testbed, "SERVICE_INDEX"));
    let mut index: Array<_, IndexBucket> = map.try_into().expect("its shape");
    for bucket in 0..index.len() {
        let mut words = index.get(&bucket, 0).expect("readable");
        words.iter_mut().filter(|word| **word == 0).for_each(|word| *word = u64::MAX);
        index.set(bucket, words, 0).expect("written");
    }
}

/// Changes the record that the index names, so that its fingerprint is another's.
fn spoil_records(testbed: &Testbed) {
    let map = Map::Array(pinned(testbed, "SERVICES"));
    let mut records: Array<_, Record> = map.try_into().expect("its shape");
    for number in 0..records.len() {
        let mut record = records.get(&number, 0).expect("readable");
        record.key.port = [0xff; 2];
        records.set(number, record, 0).expect("written");
    }
}

/// Changes the only service's entry.
fn spoil_service(testbed: &Testbed, spoil: impl FnOnce(&mut ServiceKey, &mut Service)) {
    let mut services = services(testbed);
    let (mut key, mut service) = services.entries().expect("readable")[0];
    spoil(&mut key, &mut service);
    services.insert(&key, &service).expect("written");
}

/// Returns the start of the only service's ring, and the first backend in it.
fn first_slot(testbed: &Testbed) -> (u32, u32) {
    let (_, service) = services(testbed).entries().expect("readable")[0];
    let map = Map::Array(pinned(testbed, "RINGS"));
    let rings: Array<_, Slots> = map.try_into().expect("its shape");
    let slots = rings.get(&(service.ring.offset / SLOTS), 0).expect("within the arena");
    (service.ring.offset, slots[(service.ring.offset % SLOTS) as usize])
}

/// Changes the entry of a backend that takes connections.
fn spoil_backend(testbed: &Testbed, spoil: impl FnOnce(&mut Backend)) {
    let (_, id) = first_slot(testbed);
    let map = Map::Array(pinned(testbed, "BACKENDS"));
    let mut backends: Array<_, Backend> = map.try_into().expect("its shape");
    let mut backend = backends.get(&id, 0).expect("readable");
    spoil(&mut backend);
    backends.set(id, backend, 0).expect("written");
}

fn spoil_sources(testbed: &Testbed) {
    let map = Map::Array(pinned(testbed, "SNAT_SOURCES"));
    let mut sources: Array<_, Source> = map.try_into().expect("its shape");
    let source = sources.get(&0, 0).expect("readable");
    sources.set(0, Source { ports: 0, ..source }, 0).expect("written");
}

fn spoil_slots(testbed: &Testbed) {
    let map = Map::Array(pinned(testbed, "RINGS"));
    let mut rings: Array<_, Slots> = map.try_into().expect("its shape");
    rings.set(first_slot(testbed).0 / SLOTS, [0, 9_999], 0).expect("written");
}

fn forget_addresses(testbed: &Testbed) {
    let map = Map::Array(pinned(testbed, "VIP_FILTER"));
    let mut words: Array<_, u64> = map.try_into().expect("its shape");
    for word in 0..words.len() {
        words.set(word, 0, 0).expect("written");
    }
}

type Spoil = (&'static str, fn(&Testbed));

#[test]
#[ignore = "needs root"]
fn maps_that_make_no_sense_are_made_anew() {
    let Site { mut balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let spoils: [Spoil; 15] = [
        ("led to none, and are removed", spoil_index),
        ("led to none, and are removed", spoil_records),
        ("cannot be", |testbed| spoil_service(testbed, |_, one| one.ring.offset = u32::MAX)),
        ("cannot be", |testbed| spoil_service(testbed, |_, one| one.ring.length = u32::MAX)),
        ("name no backend", |testbed| {
            spoil_service(testbed, |_, one| one.ring = Ring { offset: 1, length: 9 });
        }),
        ("no scheduler 77", |testbed| spoil_service(testbed, |_, one| one.scheduler = 77)),
        ("its id is", |testbed| spoil_service(testbed, |_, one| one.id = u32::MAX)),
        ("its id is", |testbed| spoil_service(testbed, |key, _| key.port = [0, 99])),
        ("no service can have", |testbed| spoil_service(testbed, |key, _| key.protocol = 17)),
        ("name no backend", spoil_slots),
        ("no server can have", |testbed| spoil_backend(testbed, |one| one.port = [0; 2])),
        ("of service 4294967295", |testbed| spoil_backend(testbed, |one| one.service = u32::MAX)),
        ("sources from", |testbed| spoil_backend(testbed, |one| one.source_count = u32::MAX)),
        ("impossible address or range", spoil_sources),
        ("ignored some addresses", forget_addresses),
    ];
    for (word, spoil) in spoils {
        balancer.stop(Signal::SIGKILL);
        spoil(&testbed);
        let before = log(&testbed).len();
        balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
        assert!(log(&testbed)[before..].contains(word), "{word}: {}", &log(&testbed)[before..]);
        balancer.wait_for_ring_of(3);
        let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
        assert_eq!((answers.get(""), answers.len()), (None, 3), "{word}: {answers:?}");
        assert_eq!(services(&testbed).entries().expect("readable").len(), 1, "{word}");
    }
}

fn journal(testbed: &Testbed) -> PathBuf {
    testbed.directory().join("state/journal")
}

#[test]
#[ignore = "needs root"]
fn a_spoilt_journal_is_told_and_nothing_of_it_is_lost() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let first = backend(&testbed, 0).to_string();
    for weight in ["2", "3", "4"] {
        balancer.done(&["backend", "set", "web", &first, "--weight", weight]);
    }
    balancer.stop(Signal::SIGKILL);
    let whole = fs::read(journal(&testbed)).expect("a journal");
    let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 4);

    let cases = [
        (vec![lines[0], lines[2], lines[1], lines[3]], "journal:2: this record is of version 3"),
        (vec![lines[0], lines[1], lines[3]], "that of version 3 is missing"),
        (vec![lines[0], lines[1], lines[1], lines[2]], "journal:3: this record is of version 2"),
    ];
    for (lines, word) in cases {
        fs::write(journal(&testbed), lines.concat()).expect("written");
        let refused = Balancer::refused(&testbed, &text(&testbed, &[1; 3]));
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains(word), "{}", said(&refused));
        assert_eq!(fs::read(journal(&testbed)).expect("there"), lines.concat());
    }
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
    assert_eq!(answers.get(""), None, "forwarding continues: {answers:?}");

    let mut damaged = whole.clone();
    let at = whole.len() - 20;
    damaged[at] ^= 1;
    fs::write(journal(&testbed), &damaged).expect("written");
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    assert_eq!(balancer.services()[0].backends[0].weight, 3, "the version before");
    let kept = journal(&testbed).with_file_name("journal.damaged.4.1");
    assert!(damaged.ends_with(&fs::read(&kept).expect("kept")));
    assert!(log(&testbed).contains("of version 4, is damaged"), "{}", log(&testbed));
    let warnings = || balancer.status().warnings.join("\n");
    assert!(warnings().contains("journal.damaged.4.1 holds a damaged record"), "{}", warnings());
    fs::remove_file(kept).expect("removed");
    balancer.stop(Signal::SIGTERM);
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    let warnings = balancer.status().warnings.join("\n");
    assert!(warnings.contains("version 4 was in force"), "the record is lost: {warnings}");
    balancer.done(&["backend", "set", "web", &first, "--weight", "4"]);
    balancer.stop(Signal::SIGTERM);
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    let warnings = balancer.status().warnings.join("\n");
    assert!(warnings.contains("version 4 was in force"), "until its file is removed: {warnings}");
    fs::remove_file(journal(&testbed).with_file_name("journal.lost.4")).expect("removed");
    assert_eq!(balancer.status().warnings, [""; 0]);

    // The last record is missing entirely, after the end of a line.
    balancer.stop(Signal::SIGTERM);
    fs::write(journal(&testbed), [lines[0], lines[1]].concat()).expect("written");
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    let warnings = balancer.status().warnings.join("\n");
    assert!(warnings.contains("version 5 was in force"), "no number is given twice: {warnings}");
    assert!(warnings.contains("ends with version 2"), "{warnings}");
}

#[test]
#[ignore = "needs root"]
fn a_remembered_moment_to_come_holds_nobody_back() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let slow = text(&testbed, &[1; 3])
        .replace("[service.health]", "slow_start = \"2s\"\n[service.health]");
    balancer.reload(&slow);
    balancer.wait_for("the file", || log(&testbed).contains("reloaded"));
    let first = backend(&testbed, 0).to_string();
    balancer.done(&["backend", "drain", "web", &first]);
    balancer.done(&[
        "backend",
        "drain",
        "web",
        &backend(&testbed, 1).to_string(),
        "--deadline",
        "1h",
    ]);
    balancer.done(&["backend", "enable", "web", &first]);
    balancer.stop(Signal::SIGTERM);
    let file = testbed.directory().join("state/backends.json");
    let written = fs::read_to_string(&file).expect("written");
    let mut memory: serde_json::Value = serde_json::from_str(&written).expect("JSON");
    memory["moment"]["at"] = "2999-01-01T00:00:00Z".into();
    memory["moment"]["boot"] = "another".into();
    let known = &mut memory["services"][vip(&testbed).to_string()];
    assert!(known[&first]["warming"].is_string(), "{written}");
    known[&first]["since"] = "2999-01-01T00:00:00Z".into();
    fs::write(&file, memory.to_string()).expect("written");

    let balancer = Balancer::start(&testbed, &slow);
    let remembered = balancer.services().remove(0);
    assert!(remembered.backends[0].since < jiff::Timestamp::now());
    balancer.wait_for("its whole share", || {
        let answers = requests::send(&testbed.clients()[0], vip(&testbed), 20);
        answers.get("backend0") == Some(&10)
    });
    assert_eq!(remembered.backends[1].admin, lb_model::Admin::Draining);
}

#[test]
#[ignore = "needs root"]
fn source_ports_that_the_host_gives_away_are_refused_by_check_and_told_by_the_daemon() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::One, [1; 3]);
    let file = testbed.directory().join("xdplb.toml").display().to_string();
    let check = || attempt(testbed.balancer(), BINARY, &["check", "-c", &file]);
    let warned = || balancer.status().warnings.iter().any(|one| one.contains("`snat_ports`"));
    assert_eq!(check().status.code(), Some(0), "{}", said(&check()));
    assert!(!warned());
    let set = |key: &str, value: &str| {
        testbed.balancer().set_sysctl(&format!("net.ipv4.{key}"), value).expect("root");
    };
    set("ip_local_port_range", "1024 65535");
    balancer.wait_for("a warning", warned);
    let refused = check();
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    for part in [
        "the default does not fit this host",
        "shares 1024-32767 with net.ipv4.ip_local_port_range",
        "sysctl -w net.ipv4.ip_local_reserved_ports=1024-32767",
        "sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"",
    ] {
        assert!(said(&refused).contains(part), "{part} is not in {}", said(&refused));
    }
    set("ip_local_reserved_ports", "1024-32767");
    balancer.wait_for("no warning", || !warned());
    assert_eq!(check().status.code(), Some(0), "{}", said(&check()));
    let log = log(&testbed);
    assert!(log.contains("source ports no longer clash with the host's own"), "{log}");

    let key = format!("snat_ports = \"40000-50000\"\n{}", text(&testbed, &[1; 3]));
    fs::write(&file, key).expect("written");
    let refused = check();
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("xdplb.toml:1:14"), "{}", said(&refused));
}
