//! Steps of a command, told on a terminal: which one is at work, and for how long.

use std::{
    env,
    fmt::Display,
    io::{self, BufRead as _, BufReader, Read, Write},
    process::{Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::Instant,
};

use anyhow::Result;
use lb_progress::Progress;

/// The terminal's line. None while no steps have begun.
static LINE: OnceLock<Progress> = OnceLock::new();

pub(crate) struct Steps {
    all: usize,
    begun: usize,
}

impl Steps {
    pub(crate) fn of(all: usize) -> Self {
        Self { all, begun: 0 }
    }

    /// Runs the next step.
    pub(crate) fn run(
        &mut self,
        name: impl Display,
        step: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let (done, began) = (self.begun, Instant::now());
        self.begun += 1;
        let nth = format!("{}/{}", self.begun, self.all);
        let line = LINE.get_or_init(Progress::start_on_terminal);
        say(format_args!("== {nth} {name}"));
        line.tell_part(&format!("{nth} {name}"), done as u64, self.all as u64);
        step()?;
        say(format_args!("== {nth} {name}: {} s", began.elapsed().as_secs()));
        Ok(())
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(line) = LINE.get() {
            line.clear();
        }
    }
}

/// Prints a line above the terminal's.
pub(crate) fn say(text: impl Display) {
    let print = || println!("{text}");
    LINE.get().map_or_else(print, |line| line.above(print));
}

/// Runs a command to its end, with its output above the terminal's line.
pub(crate) fn status(command: &mut Command) -> io::Result<ExitStatus> {
    let Some(line) = LINE.get().filter(|line| line.is_on_terminal()) else {
        return command.status();
    };
    // Otherwise cargo leaves colours out, as its output is a pipe.
    if env::var_os("NO_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| pass_on(out, io::stdout(), line));
        scope.spawn(|| pass_on(err, io::stderr(), line));
    });
    child.wait()
}

fn pass_on(from: Option<impl Read>, mut to: impl Write, line: &Progress) {
    let Some(mut from) = from.map(BufReader::new) else { return };
    let mut text = Vec::new();
    while let Ok(1..) = from.read_until(b'\n', &mut text) {
        // There is no other place to report that this fails.
        line.above(|| to.write_all(&text).and_then(|()| to.flush())).ok();
        text.clear();
    }
}
