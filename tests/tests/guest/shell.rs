//! A guest that runs single commands.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{initramfs::Initramfs, kernel::Kernel, machine::Machine, tap::Taps};

const POLL: Duration = Duration::from_millis(200);

/// Timeout of a condition; emulated CPUs are slow.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs each line received, and reports its exit status.
const STEPS: &str = r#"
stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1
echo 'guest: listens'
while read -r line && [ "$line" != end ]; do
    status=0
    (eval "$line") 2>&1 || status=$?
    printf '\nguest: %s\n' $status
done
"#;

const END: &str = "end";
const LISTENS: &str = "guest: listens\n";

pub struct Shell {
    machine: Machine,
    /// Length of the output of earlier commands.
    read: usize,
}

impl Shell {
    pub fn boot(kernel: &Kernel, initramfs: Initramfs, taps: &Taps<'_>, longest: Duration) -> Self {
        let mut machine = Machine::start(kernel, initramfs, STEPS, Some(taps), longest);
        let read =
            machine.wait_for("shell", |output| output.find(LISTENS).map(|at| at + LISTENS.len()));
        Self { machine, read }
    }

    /// Runs a command that must succeed, and returns its output.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn run(&mut self, command: &str) -> String {
        let (status, output) = self.attempt(command);
        assert_eq!(status, "0", "{command}: {output}");
        output
    }

    /// Repeats a command until it succeeds with the wanted output.
    ///
    /// # Panics
    ///
    /// With the command's last output, at the timeout.
    pub fn wait_for(&mut self, what: &str, command: &str, is_wanted: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        loop {
            let (status, output) = self.attempt(command);
            if status == "0" && is_wanted(&output) {
                return;
            }
            let waited = begin.elapsed();
            assert!(waited < PATIENCE, "no {what} after {waited:?}: {status}: {output}");
            sleep(POLL);
        }
    }

    pub fn end(mut self) {
        self.machine.say(END);
        self.machine.end();
    }

    fn attempt(&mut self, command: &str) -> (String, String) {
        self.machine.say(command);
        let before = self.read;
        let (read, status, output) = self.machine.wait_for(command, |output| {
            let said = output.get(before..)?;
            let (output, status) = said.strip_suffix('\n')?.rsplit_once("\nguest: ")?;
            Some((before + said.len(), status.to_owned(), output.to_owned()))
        });
        self.read = read;
        (status, output)
    }
}
