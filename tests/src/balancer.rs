//! The real daemon in a testbed.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use lb_model::{
    Health,
    views::{ServiceView, Status},
};
use lb_testbed::{Namespace, Node, Testbed};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The binary under test, built by `cargo xtask build`.
pub const BINARY: &str = concat!(env!("OUT_DIR"), "/../../../../release/xdplb");

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Returns the configuration of a testbed's balancer: its interfaces and paths, then `rest`.
#[must_use]
pub fn configuration(testbed: &Testbed, rest: &str) -> String {
    settings(testbed.interfaces(), testbed.bpffs(), testbed.directory(), rest)
}

/// As [`configuration`], of one of several balancers.
#[must_use]
pub fn configuration_of(node: &Node, testbed: &Testbed, rest: &str) -> String {
    settings(testbed.interfaces(), node.bpffs(), node.directory(), rest)
}

fn settings(interfaces: &[&str], bpffs: &Path, directory: &Path, rest: &str) -> String {
    format!(
        "interfaces = {interfaces:?}\nbpffs = \"{}\"\nstate_dir = \"{}\"\n{rest}\n\
         limits.flows = 100_000\n[api]\nsocket = \"{}\"\n",
        bpffs.display(),
        directory.join("state").display(),
        socket(directory).display()
    )
}

/// Returns the configuration of a service with a fast TCP check and these backends and weights.
#[must_use]
pub fn service(name: &str, vip: SocketAddr, backends: &[(SocketAddr, u16)]) -> String {
    let mut text = format!(
        "[[service]]\nname = \"{name}\"\nvip = \"{vip}\"\n[service.health]\ninterval = \"200ms\"\n\
         timeout = \"200ms\"\nrise = 2\nfall = 2\n"
    );
    for (address, weight) in backends {
        let backend = format_args!("address = \"{address}\"\nweight = {weight}\n");
        write!(text, "[[service.backend]]\n{backend}").expect("a string takes anything");
    }
    text
}

/// A running daemon.
pub struct Balancer {
    process: Child,
    file: PathBuf,
    socket: PathBuf,
}

impl Balancer {
    /// Starts the daemon and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[must_use]
    pub fn start(testbed: &Testbed, text: &str) -> Self {
        Self::start_by(testbed, text, Command::new(BINARY))
    }

    /// Starts the daemon by a command that takes its arguments.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    #[must_use]
    pub fn start_by(testbed: &Testbed, text: &str, command: Command) -> Self {
        Self::start_in(testbed.balancer(), testbed.directory(), text, command)
    }

    /// Starts the daemon of one of several balancers, and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[must_use]
    pub fn start_on(node: &Node, text: &str) -> Self {
        Self::start_in(node.namespace(), node.directory(), text, Command::new(BINARY))
    }

    fn start_in(namespace: &Namespace, directory: &Path, text: &str, mut command: Command) -> Self {
        let file = directory.join("xdplb.toml");
        fs::write(&file, text).expect("written");
        let log = fs::File::options().create(true).append(true).open(directory.join("log"));
        command.arg("run").arg("-c").arg(&file).stdin(Stdio::null()).stderr(log.expect("a log"));
        let process = namespace.spawn(&mut command).expect("started");
        let balancer = Self { process, file, socket: socket(directory) };
        balancer.wait_for("an answer", || balancer.xdplb(&["status"]).status.success());
        balancer
    }

    /// Runs the daemon with a configuration that it must reject.
    ///
    /// # Panics
    ///
    /// If it does not exit soon.
    #[must_use]
    pub fn refused(testbed: &Testbed, text: &str) -> Output {
        Self::refused_by(testbed, text, &[])
    }

    /// As [`Self::refused`], with further arguments.
    ///
    /// # Panics
    ///
    /// As [`Self::refused`].
    #[must_use]
    pub fn refused_by(testbed: &Testbed, text: &str, arguments: &[&str]) -> Output {
        let file = testbed.directory().join("refused.toml");
        fs::write(&file, text).expect("written");
        let mut command = Command::new(BINARY);
        command.arg("run").arg("-c").arg(&file).args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = testbed.balancer().spawn(&mut command).expect("started");
        let deadline = Instant::now() + PATIENCE;
        while process.try_wait().expect("a child").is_none() {
            if Instant::now() >= deadline {
                process.kill().expect("a child");
                panic!("the daemon must refuse this configuration:\n{text}");
            }
            sleep(POLL);
        }
        process.wait_with_output().expect("ended")
    }

    /// Runs a command of `xdplb` against the daemon.
    #[must_use]
    pub fn xdplb(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Returns a command of `xdplb` against the daemon, not yet started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--socket").arg(&self.socket).args(arguments);
        command
    }

    /// Returns the path of the API's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns the daemon's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Runs a command that must succeed, and returns its output.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[expect(clippy::must_use_candidate, reason = "most verbs have nothing to say")]
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.xdplb(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }

    #[must_use]
    pub fn services(&self) -> Vec<ServiceView> {
        serde_json::from_str(&self.done(&["service", "list", "-o", "json"])).expect("the shape")
    }

    #[must_use]
    pub fn status(&self) -> Status {
        serde_json::from_str(&self.done(&["status", "-o", "json"])).expect("the shape")
    }

    /// Waits until this many backends of all services take connections.
    pub fn wait_for_ring_of(&self, wanted: usize) {
        self.wait_for("backends in rings", || {
            let services = self.services();
            let backends = services.iter().flat_map(|service| &service.backends);
            backends.filter(|one| one.in_ring && one.health == Health::Up).count() == wanted
        });
    }

    /// # Panics
    ///
    /// If it does not come true soon.
    pub fn wait_for(&self, what: &str, holds: impl FnMut() -> bool) {
        wait_within(PATIENCE, what, holds);
    }

    /// Replaces the configuration file and makes the daemon read it.
    pub fn reload(&self, text: &str) {
        fs::write(&self.file, text).expect("written");
        self.signal(Signal::SIGHUP);
    }

    /// Waits until the daemon has exited by itself, and returns its exit code.
    ///
    /// # Panics
    ///
    /// If it does not exit soon.
    #[must_use]
    pub fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the daemon must end soon");
            sleep(POLL);
        }
    }

    /// Stops the daemon by a signal and waits until it has exited.
    pub fn stop(mut self, signal: Signal) {
        self.signal(signal);
        self.process.wait().expect("ended");
    }

    /// # Panics
    ///
    /// If the daemon has exited.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed());
        kill(pid, signal).expect("a living process");
    }
}

/// Waits until something holds.
///
/// # Panics
///
/// If it does not come true in this time.
pub fn wait_within(longest: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + longest;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} must come soon");
        sleep(POLL);
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("xdplb.sock")
}

/// Runs `xdplb detach` for a testbed.
#[must_use]
pub fn detach(testbed: &Testbed) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["detach", "--bpffs"]).arg(testbed.bpffs());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    testbed.balancer().spawn(&mut command).expect("started").wait_with_output().expect("ended")
}

#[cfg(test)]
mod tests {
    use std::{env, path::Path};

    use super::BINARY;

    #[test]
    fn the_binary_is_below_the_target_directory_of_this_test() {
        let target = Path::new(BINARY).ancestors().nth(2).unwrap().canonicalize().unwrap();
        let own = env::current_exe().unwrap();
        assert!(own.starts_with(&target), "{} is not below {}", own.display(), target.display());
    }
}
