//! Faults of the host, in a mount namespace that hides something.

use std::process::Command;

use lb_tests::balancer::BINARY;

use super::bed::{Bed, findings, only};

#[test]
#[ignore = "needs root"]
fn a_kernel_without_types() {
    let bed = Bed::new();
    let hiding = "mount -t tmpfs tmpfs /sys/kernel/btf && exec \"$0\" \"$@\"";
    let mut doctor = Command::new("unshare");
    doctor.args(["--mount", "sh", "-c", hiding, BINARY, "doctor", "-o", "json", "-c"]);
    doctor.arg(bed.file()).arg("--socket").arg(bed.path("absent.sock"));
    let found = findings(bed.balancer(), &mut doctor);
    only(
        found,
        "kernel-without-btf",
        "kernel",
        "apt install linux-image-$(dpkg --print-architecture) && reboot",
    );
}
