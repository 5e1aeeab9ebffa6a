//! An emulated machine.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{initramfs::Initramfs, kernel::Kernel, tap::Taps};

const POLL: Duration = Duration::from_millis(100);

/// Output on the guest's console once its steps have ended, before their status.
const ENDED: &str = "guest: ended with ";

/// A guest that runs shell commands. It is killed on drop, or when the thread that started it ends.
pub struct Machine {
    process: Child,
    version: String,
    initramfs: Initramfs,
    begin: Instant,
    longest: Duration,
}

/// Runs shell commands as root in a guest without a network, and returns their output.
///
/// # Panics
///
/// With the guest's console, if they fail or take longer than `longest`.
pub fn run(kernel: &Kernel, initramfs: Initramfs, steps: &str, longest: Duration) -> String {
    Machine::start(kernel, initramfs, steps, None, longest).end()
}

impl Machine {
    /// Starts a guest whose second serial line is `/dev/ttyS1`.
    pub fn start(
        kernel: &Kernel,
        mut initramfs: Initramfs,
        steps: &str,
        taps: Option<&Taps<'_>>,
        longest: Duration,
    ) -> Self {
        initramfs.write("steps.sh".as_ref(), steps.as_bytes());
        let archive = initramfs.pack();
        let mut command = match taps {
            None => Command::new("setpriv"),
            Some(taps) => {
                // A process from the start: a thread that enters a namespace to start it would end.
                let mut enter = Command::new("ip");
                enter.args(["netns", "exec", taps.namespace().name(), "setpriv"]);
                enter
            }
        };
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        // Emulated in turns: one CPU at a time never runs code that another one is just patching, which with
        // a thread for each CPU ends in an "Oops: int3" now and then.
        command.args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "2048"]);
        command.args(["-display", "none", "-nodefaults", "-no-reboot", "-monitor", "none"]);
        command.args(taps.map_or_else(|| vec!["-nic".into(), "none".into()], Taps::devices));
        let console = format!("file:{}", initramfs.directory.join("console").display());
        command.args(["-serial", &console, "-serial", "stdio"]);
        command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(archive);
        command.args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/init"]);
        let output = File::create(initramfs.directory.join("output")).expect("created");
        command.stdin(Stdio::piped()).stdout(output);
        let process = command.spawn().expect("util-linux is installed");
        let version = kernel.version.clone();
        Self { process, version, initramfs, begin: Instant::now(), longest }
    }

    /// Writes a line to the guest's second serial line.
    pub fn say(&mut self, line: &str) {
        let said = writeln!(self.process.stdin.as_mut().expect("piped"), "{line}");
        said.unwrap_or_else(|error| self.fail(&format!("`{line}` cannot be sent: {error}")));
    }

    /// Returns the guest's output on its second serial line.
    pub fn output(&self) -> String {
        read(&self.initramfs.directory.join("output"))
    }

    /// Waits until `find` returns a value for the guest's output, and returns that value.
    ///
    /// # Panics
    ///
    /// With the guest's console, if it ends before, or takes too long.
    pub fn wait_for<T>(&mut self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        loop {
            let has_ended = self.has_ended();
            if let Some(found) = find(&self.output()) {
                return found;
            }
            if has_ended || self.begin.elapsed() > self.longest {
                self.fail(&format!("no {what}"));
            }
            sleep(POLL);
        }
    }

    /// Waits until the guest's steps have succeeded, and returns their output.
    ///
    /// It does not wait until the guest is off: a process that asks virtio-net for something while
    /// Linux 6.1 turns its devices off waits for ever, in the kernel.
    ///
    /// # Panics
    ///
    /// With the guest's console, if they fail or take too long.
    pub fn end(mut self) -> String {
        let status = loop {
            let has_ended = self.has_ended();
            if let Some(status) = self.status() {
                break status;
            }
            if has_ended || self.begin.elapsed() > self.longest {
                self.fail("no end");
            }
            sleep(POLL);
        };
        println!("{}: {:?}", self.version, self.begin.elapsed());
        if status != "0" {
            self.fail("no success");
        }
        self.output()
    }

    /// Returns the exit status of the guest's steps, once they have ended.
    fn status(&self) -> Option<String> {
        let console = self.console();
        let (_, after) = console.split_once(ENDED)?;
        let (status, _) = after.split_once('\n')?;
        Some(status.trim_end().to_owned())
    }

    fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("a child").is_some()
    }

    fn console(&self) -> String {
        read(&self.initramfs.directory.join("console"))
    }

    fn fail(&self, why: &str) -> ! {
        let (after, longest) = (self.begin.elapsed(), self.longest);
        let (version, console, output) = (&self.version, self.console(), self.output());
        panic!(
            "{version}: {why} after {after:?} (at most {longest:?})\n--- console\n{console}\n--- \
             output\n{output}"
        )
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
