//! Progress of long work, on standard error: a line that follows it on a terminal, plain lines elsewhere.

mod bar;
mod interruption;
mod lines;
mod narrow;

use indicatif::ProgressBar;

use self::lines::Lines;

/// What is shown of work. It disappears from a terminal when this is dropped, or a signal ends the process.
#[derive(Debug)]
pub struct Progress(Shown);

#[derive(Debug)]
enum Shown {
    Nothing,
    Bar(ProgressBar),
    Lines(Lines),
}

impl Progress {
    #[must_use]
    pub fn silent() -> Self {
        Self(Shown::Nothing)
    }

    #[must_use]
    pub fn start() -> Self {
        Self(bar::start().map_or_else(|| Shown::Lines(Lines::default()), Shown::Bar))
    }

    /// Like [`Self::start`], but shows nothing without a terminal.
    #[must_use]
    pub fn start_on_terminal() -> Self {
        Self(bar::start().map_or(Shown::Nothing, Shown::Bar))
    }

    #[must_use]
    pub fn is_on_terminal(&self) -> bool {
        matches!(self.0, Shown::Bar(_))
    }

    /// Tells what is being done.
    pub fn tell(&self, what: &str) {
        match &self.0 {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.set_message(what.to_owned()),
            Shown::Lines(lines) => lines.tell(what),
        }
    }

    /// Tells what is being done, and how much of it.
    pub fn tell_part(&self, what: &str, done: u64, all: u64) {
        if let Shown::Bar(bar) = &self.0 {
            bar::show_part(bar, done, all);
        }
        self.tell(what);
    }

    /// Writes something else, above the line of a terminal.
    pub fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Shown::Bar(bar) => bar.suspend(write),
            Shown::Nothing | Shown::Lines(_) => write(),
        }
    }

    /// Removes the line from a terminal.
    pub fn clear(&self) {
        if let Shown::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
