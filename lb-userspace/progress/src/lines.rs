//! Plain lines: the first one at once, and others from time to time.

use std::{
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Lines {
    last: Mutex<Option<Instant>>,
}

impl Lines {
    pub(super) fn tell(&self, what: &str) {
        if self.is_due(Instant::now()) {
            // There is no other place to report that this fails.
            writeln!(io::stderr().lock(), "{what}").ok();
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= PAUSE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_leave_pauses() {
        let (lines, begin) = (Lines::default(), Instant::now());
        let due =
            [0, 1, 9, 10, 11, 20].map(|second| lines.is_due(begin + Duration::from_secs(second)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
