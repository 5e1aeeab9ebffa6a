//! The Debian package, installed temporarily, and its unit, run by systemd itself.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::{BINARY, service},
    requests,
    servers::nginx_everywhere,
    site::{Arms, backend, empty_testbed, vip},
};

const PACKAGE: &str = concat!(env!("OUT_DIR"), "/../../../../debian/xdplb.deb");
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/xdplb.service");
const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/package/guest");

const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// A second system in the balancer's network namespace: systemd, and the package over this root
/// directory, in memory. It runs `guest/steps.sh`, and ends with its status.
struct Guest<'a> {
    testbed: &'a Testbed,
    system: Child,
}

impl<'a> Guest<'a> {
    fn boot(testbed: &'a Testbed, configuration: &str) -> Self {
        let place = testbed.directory().join("guest");
        fs::create_dir_all(&place).expect("a directory");
        for name in ["steps.sh", "steps.service", "credential.conf", "confined"] {
            fs::copy(Path::new(GUEST).join(name), testbed.directory().join(name)).expect("copied");
        }
        fs::write(testbed.directory().join("secret"), "of the operator\n").expect("written");
        fs::write(testbed.directory().join("xdplb.toml"), configuration).expect("written");
        let log = fs::File::create(testbed.directory().join("boot.log")).expect("a log");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child"]);
        command.args(["sh", "-e"]).arg(Path::new(GUEST).join("boot.sh"));
        command.env("PLACE", place).env("TESTBED", testbed.directory()).env("PACKAGE", PACKAGE);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log);
        Self { testbed, system: testbed.balancer().spawn(&mut command).expect("started") }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.testbed.directory().join(name)
    }

    /// Waits until it reports this step.
    fn reached(&mut self, step: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.file(step).exists() {
            let has_ended = self.system.try_wait().expect("a child").is_some();
            assert!(!has_ended && Instant::now() < deadline, "{step}: {}", self.told());
            sleep(POLL);
        }
    }

    /// Lets it continue with this step.
    fn go_on(&self, to: &str) {
        fs::write(self.file(to), "").expect("written");
    }

    fn ended(mut self) {
        let status = self.system.wait().expect("a child");
        assert!(status.success(), "{}", self.told());
    }

    fn told(&self) -> String {
        let texts = ["boot.log", "steps.log"].map(|name| fs::read_to_string(self.file(name)));
        texts.into_iter().filter_map(Result::ok).collect()
    }
}

/// Returns a service whose only backend is up if the program of its check is confined.
fn confined(testbed: &Testbed) -> String {
    let (vip, backend) = (SocketAddr::new(vip(testbed).ip(), 81), backend(testbed, 0));
    format!(
        "[[service]]\nname = \"confined\"\nvip = \"{vip}\"\n[service.health]\ntype = \"exec\"\n\
         command = [\"/bin/sh\", \"-eux\", \"/run/testbed/confined\"]\ninterval = \"2s\"\ntimeout = \"2s\"\n\
         [[service.backend]]\naddress = \"{backend}\"\n"
    )
}

#[test]
#[ignore = "needs root"]
fn the_unit_is_hardly_exposed() {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--threshold=23"]);
    let output = command.arg(UNIT).output().expect("systemd-analyze");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "needs root"]
fn the_packages_unit_runs_under_systemd_and_its_removal_ends_packets() {
    let testbed = empty_testbed(Arms::Two);
    let _servers = nginx_everywhere(&testbed);
    let backends = [0, 1, 2].map(|nth| (backend(&testbed, nth), 1));
    let interfaces = format!("interfaces = {:?}\nlimits.flows = 100_000\n", testbed.interfaces());
    let text = interfaces + &service("web", vip(&testbed), &backends) + &confined(&testbed);
    let mut guest = Guest::boot(&testbed, &text);
    let send = |count| requests::send(&testbed.clients()[0], vip(&testbed), count);
    guest.reached("started");
    let answers = send(30);
    assert!(answers.len() == 3 && answers.values().all(|count| *count == 10), "{answers:?}");
    guest.go_on("disturb");
    guest.reached("stopped");
    let answers = send(30);
    assert_eq!(answers.get(""), None, "forwarding continues: {answers:?}");
    guest.go_on("remove");
    guest.ended();
    assert!(!testbed.bpffs().join("xdplb").exists(), "packets still go by a program of nobody");
    assert_eq!(send(1)[""], 1);
}

#[test]
#[ignore = "needs root"]
fn the_binary_needs_no_file_of_the_host() {
    let testbed = empty_testbed(Arms::One);
    fs::copy(BINARY, testbed.directory().join("xdplb")).expect("a copy");
    let mut command = Command::new("chroot");
    let output = command.arg(testbed.directory()).args(["/xdplb", "--version"]).output();
    let output = output.expect("coreutils");
    assert!(output.status.success(), "{output:?}");
}
