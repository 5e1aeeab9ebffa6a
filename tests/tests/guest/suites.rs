//! Test suites of this crate in guests.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{initramfs::Initramfs, kernel::Package, machine::run};

/// Path of the suite in the guest.
const PLACE: &str = "/suite";

/// Programs of the host that the suites run.
pub const PROGRAMS: [&str; 2] = ["ip", "tc"];

/// Runs a suite's privileged tests in a guest, one after another.
///
/// # Panics
///
/// If any fails, or none has run.
pub fn pass(package: &Package, suite: &str, arguments: &[&str], longest: Duration) {
    let kernel = package.kernel();
    let mut initramfs = Initramfs::new(&kernel);
    initramfs.add_xdplb();
    for program in PROGRAMS {
        initramfs.add_program(&find(program));
    }
    initramfs.add_stripped(&built(suite), PLACE.as_ref());
    let arguments = arguments.join(" ");
    let steps = format!("RUST_BACKTRACE=0 {PLACE} --ignored --test-threads=1 {arguments}");
    let output = run(&kernel, initramfs, &steps, longest);
    println!("{output}");
    assert!(output.contains("test result: ok") && !output.contains(" 0 passed"), "{output}");
}

/// Returns the executable of a suite, building it if necessary.
fn built(suite: &str) -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--package", "lb-tests", "--test", suite, "--no-run"]);
    cargo.args(["--message-format", "json"]).stderr(Stdio::inherit());
    let output = cargo.output().expect("cargo");
    assert!(output.status.success(), "{suite} cannot be built");
    let messages = String::from_utf8(output.stdout).expect("text");
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut executables = messages.filter_map(|message: serde_json::Value| {
        let is_of_it = message["target"]["name"] == suite;
        is_of_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    executables.next_back().expect("an executable")
}

pub fn find(program: &str) -> PathBuf {
    let places =
        ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|place| Path::new(place).join(program));
    let found = places.into_iter().find(|place| place.exists());
    found.unwrap_or_else(|| panic!("{program} is not installed"))
}
