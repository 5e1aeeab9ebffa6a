//! Debian's kernels, 6.1 and 6.12, in emulated guests: the demo, the packets and the attacks there.
//!
//! The guests run in QEMU's software emulation, as hardware virtualization may be missing or
//! broken. Times in them are meaningless.

mod distant;
mod initramfs;
mod kernel;
mod machine;
mod shell;
mod suites;
mod tap;
mod virtio;

use std::time::Duration;

use crate::{
    initramfs::Initramfs,
    kernel::{DEBIAN_6_1, DEBIAN_6_12, Package},
    machine::run,
};

/// Timeout, far longer than any step takes.
const LONGEST: Duration = Duration::from_mins(10);

#[test]
#[ignore = "needs root"]
fn the_demo_passes_on_6_1() {
    the_demo_passes(&DEBIAN_6_1);
}

#[test]
#[ignore = "needs root"]
fn the_demo_passes_on_6_12() {
    the_demo_passes(&DEBIAN_6_12);
}

fn the_demo_passes(package: &Package) {
    let kernel = package.kernel();
    let mut initramfs = Initramfs::new(&kernel);
    initramfs.add_xdplb();
    let output = run(&kernel, initramfs, "xdplb demo -o json", LONGEST);
    let report: serde_json::Value = serde_json::from_str(&output).expect("the demo's JSON");
    assert_eq!(report["xdp_mode"], "native", "{report:#}");
    assert!(report["requests"].as_u64().is_some_and(|requests| requests > 100), "{report:#}");
    let answered = report["per_backend"].as_object().expect("by address");
    let is_used = |requests: &serde_json::Value| requests.as_u64().is_some_and(|count| count > 0);
    assert!(answered.len() == 3 && answered.values().all(is_used), "{report:#}");
}

#[test]
#[ignore = "needs root"]
fn packets_pass_on_6_1() {
    packets_pass(&DEBIAN_6_1);
}

#[test]
#[ignore = "needs root"]
fn packets_pass_on_6_12() {
    packets_pass(&DEBIAN_6_12);
}

/// Tests of each step of a connection. Each test loads the program, which takes emulated CPUs
/// seconds.
fn packets_pass(package: &Package) {
    suites::pass(
        package,
        "packets",
        &["opening::", "closing::", "ports::", "guard::", "migration::"],
        LONGEST,
    );
}

#[test]
#[ignore = "needs root"]
fn hostile_packets_pass_on_6_1() {
    hostile_packets_pass(&DEBIAN_6_1);
}

#[test]
#[ignore = "needs root"]
fn hostile_packets_pass_on_6_12() {
    hostile_packets_pass(&DEBIAN_6_12);
}

/// Tests of frames with invalid origins or invalid requests.
fn hostile_packets_pass(package: &Package) {
    let tests = ["packets::origins", "packets::unforwardable", "packets::dead_backends"];
    suites::pass(package, "hostile", &tests, LONGEST);
}

#[test]
#[ignore = "needs root"]
fn virtio_forwards_natively_on_6_1() {
    virtio::forwards(&DEBIAN_6_1);
}

#[test]
#[ignore = "needs root"]
fn virtio_forwards_natively_on_6_12() {
    virtio::forwards(&DEBIAN_6_12);
}

#[test]
#[ignore = "needs root"]
fn distant_handshakes_survive_a_flood_on_6_1() {
    distant::survive(&DEBIAN_6_1);
}

#[test]
#[ignore = "needs root"]
fn distant_handshakes_survive_a_flood_on_6_12() {
    distant::survive(&DEBIAN_6_12);
}
