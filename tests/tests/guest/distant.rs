//! Slow handshakes during a SYN flood: the README's limit on SYN rate × round-trip time.

use std::time::Duration;

use serde::Deserialize;

use crate::{initramfs::Initramfs, kernel::Package, machine::run, suites};

const PLACE: &str = "/distant";
const LONGEST: Duration = Duration::from_mins(5);

#[derive(Debug, Deserialize)]
struct Report {
    /// Number of source ports of all backends of the service.
    ports: u64,
    handshakes: Vec<Handshake>,
}

#[derive(Debug, Deserialize)]
struct Handshake {
    /// Number of SYNs of the flood during the handshake.
    syns: u64,
    error: Option<String>,
}

/// Times in a guest are unreliable: a handshake is judged by the number of SYNs during it, which is
/// rate × round-trip time.
pub fn survive(package: &Package) {
    let kernel = package.kernel();
    let mut initramfs = Initramfs::new(&kernel);
    initramfs.add_xdplb();
    for program in suites::PROGRAMS {
        initramfs.add_program(&suites::find(program));
    }
    initramfs.add_stripped(env!("CARGO_BIN_EXE_distant").as_ref(), PLACE.as_ref());
    let output = run(&kernel, initramfs, &format!("modprobe sch_netem; {PLACE}"), LONGEST);
    println!("{output}");
    let reports = output.lines().map(|line| serde_json::from_str(line).expect("a report"));
    let [within, beyond] = reports.collect::<Vec<_>>().try_into().expect("two reports");
    assert_survive(&within);
    assert_need_another_try(&beyond);
}

fn assert_survive(report: &Report) {
    let Report { ports, handshakes } = report;
    let within = handshakes.iter().filter(|one| one.syns < ports * 9 / 10);
    let (lost, survivors): (Vec<_>, Vec<_>) = within.partition(|one| one.error.is_some());
    assert!(lost.is_empty(), "{lost:?} of {report:?}");
    let flooded = survivors.iter().filter(|one| one.syns > ports / 4).count();
    assert!(flooded > handshakes.len() / 2, "only {flooded} were flooded: {report:?}");
}

/// Otherwise the number of ports would not be the limit.
fn assert_need_another_try(report: &Report) {
    let survivors = report.handshakes.iter().filter(|one| one.error.is_none()).count();
    assert!(survivors < report.handshakes.len() / 4, "{survivors} survived: {report:?}");
}
