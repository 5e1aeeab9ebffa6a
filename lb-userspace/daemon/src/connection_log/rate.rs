//! The limit of lines per second.

use std::time::{Duration, Instant};

use lb_model::ConnectionLog;

/// Time in which lines are saved up.
const BURST: Duration = Duration::from_secs(ConnectionLog::BURST_SECONDS as u64);

/// Lets lines through, each at the time that it may take on average.
#[derive(Debug)]
pub(super) struct Rate {
    saved: Duration,
    at: Instant,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { saved: BURST, at: now }
    }

    /// Returns true if there is room for one more line.
    pub(super) fn take(&mut self, per_second: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        (self.saved, self.at) = ((self.saved + passed).min(BURST), now);
        let Some(left) = self.saved.checked_sub(Duration::from_secs(1) / per_second.max(1)) else {
            return false;
        };
        self.saved = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_are_saved_up_and_no_more() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let mut taken = |at| (0..1_000).filter(|_| rate.take(5, start + at)).count();
        let seconds = Duration::from_secs;
        assert_eq!(taken(seconds(0)), 50);
        assert_eq!(taken(seconds(1)), 5);
        assert_eq!(taken(seconds(3)), 10);
        assert_eq!(taken(seconds(100)), 50);
    }
}
