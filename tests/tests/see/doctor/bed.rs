//! A bed for faults.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
};

use lb_testbed::{Namespace, Testbed};
use lb_tests::{
    balancer::BINARY,
    servers::shell,
    site::{Arms, empty_testbed, text},
};
use serde::Deserialize;

/// What is true of the machine that runs the tests, or of every bed without a daemon.
const EXPECTED: [&str; 2] = ["clock-not-synchronised", "daemon-absent"];

/// Exit code of problems and warnings.
const FAULTS: i32 = 4;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Finding {
    pub(super) id: String,
    severity: String,
    pub(super) subject: String,
    pub(super) message: String,
    pub(super) fix: String,
}

/// A testbed with a configuration, and no daemon.
pub(super) struct Bed {
    pub(super) testbed: Testbed,
}

impl Bed {
    pub(super) fn new() -> Self {
        let bed = Self { testbed: empty_testbed(Arms::Two) };
        bed.configure(&bed.text());
        bed
    }

    /// Returns the configuration of a healthy bed.
    pub(super) fn text(&self) -> String {
        text(&self.testbed, &[1; 3])
    }

    pub(super) fn configure(&self, text: &str) {
        fs::write(self.file(), text).expect("written");
    }

    /// Configures the bed with a setting, as a line of its own.
    pub(super) fn set(&self, setting: &str) {
        let (key, _) = setting.split_once(" = ").expect("a setting");
        let text = self.text();
        let is_other = |line: &&str| !line.starts_with(&format!("{key} = "));
        let kept: Vec<_> = text.lines().filter(is_other).collect();
        self.configure(&format!("{setting}\n{}\n", kept.join("\n")));
    }

    /// Configures the bed with one more backend.
    pub(super) fn add_backend(&self, address: SocketAddr) {
        self.configure(&format!("{}[[service.backend]]\naddress = \"{address}\"\n", self.text()));
    }

    pub(super) fn file(&self) -> PathBuf {
        self.testbed.directory().join("xdplb.toml")
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.testbed.directory().join(name).display().to_string()
    }

    pub(super) fn balancer(&self) -> &Namespace {
        self.testbed.balancer()
    }

    /// Runs a shell command on the balancer.
    pub(super) fn run(&self, command: &str) {
        shell(self.balancer(), command);
    }

    /// Returns what `doctor` finds with the file.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut doctor = Command::new(BINARY);
        doctor.args(["doctor", "-o", "json", "-c"]).arg(self.file());
        doctor.arg("--socket").arg(self.path("absent.sock"));
        findings(self.balancer(), &mut doctor)
    }

    /// Asserts that exactly this is found, and returns it.
    pub(super) fn expect(&self, id: &str, subject: &str, fix: &str) -> Finding {
        only(self.findings(), id, subject, fix)
    }

    /// Carries the fix of a finding out, and asserts that nothing is found any more.
    pub(super) fn cure(&self, finding: &Finding) {
        self.run(&finding.fix);
        self.is_healthy();
    }

    pub(super) fn is_healthy(&self) {
        assert_eq!(self.findings(), []);
    }
}

/// Asserts that exactly this was found, and returns it.
pub(super) fn only(findings: Vec<Finding>, id: &str, subject: &str, fix: &str) -> Finding {
    let [finding] = <[Finding; 1]>::try_from(findings).expect("one finding");
    assert_eq!((&*finding.id, &*finding.subject), (id, subject), "{finding:?}");
    assert!(finding.fix.starts_with(fix), "{finding:?}");
    finding
}

/// Runs `doctor` in a namespace, and returns what it finds beyond what is expected of the machine.
pub(super) fn findings(namespace: &Namespace, doctor: &mut Command) -> Vec<Finding> {
    doctor.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = namespace.spawn(doctor).expect("started").wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stderr);
    let found = serde_json::from_slice::<Vec<Finding>>(&output.stdout);
    let mut found = found.unwrap_or_else(|error| panic!("{error}: {said}"));
    let is_fault = |one: &Finding| ["problem", "warning"].contains(&&*one.severity);
    let code = if found.iter().any(is_fault) { FAULTS } else { 0 };
    assert_eq!(output.status.code(), Some(code), "{said}");
    found.retain(|one| !EXPECTED.contains(&&*one.id));
    found
}
