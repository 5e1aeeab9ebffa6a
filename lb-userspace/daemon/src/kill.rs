//! Ends of connections, before their time, that both ends learn of.
//!
//! The connections are removed from the flow table: what either end sends next is answered by a reset
//! of the right number, like any segment of an unknown connection. An end that is idle sends nothing, so
//! both are [nudged](Nudger). Live connections are safe from a nudge that comes late.

mod nudger;

use std::{
    collections::VecDeque,
    io,
    ops::ControlFlow,
    thread::sleep,
    time::{Duration, Instant},
};

use lb_dataplane::listing::{Killed, Listing};
use lb_model::connections::{Filter, Kill};

use self::nudger::Nudger;
use crate::connection_log::Teller;

/// Part of a CPU's resets that connections are killed at: less than the sixteenth that the program may
/// send to one network of 256 addresses.
const PART: u32 = 20;

/// Bursts in a second.
const BURSTS: u32 = 50;

/// Time after which the ends are nudged again, in case a segment was lost. They answer twice a second
/// at most.
const AGAIN: Duration = Duration::from_secs(1);

/// Connections per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(u32);

impl Rate {
    /// Returns the rate under `limits.resets`.
    pub(crate) fn within(resets: u32) -> Self {
        Self((resets / PART).max(1))
    }

    /// Returns how many are killed at once.
    fn burst(self) -> u32 {
        (self.0 / BURSTS).max(1)
    }

    /// Returns the time that so many take.
    fn time_of(self, count: u32) -> Duration {
        Duration::from_secs(count.into()) / self.0
    }
}

/// Kills all matching connections at this rate, as long as they are `wanted`, and tells of their ends.
pub(crate) fn kill(
    listing: &Listing,
    filter: &Filter,
    rate: Rate,
    ends: Option<&Teller>,
    is_wanted: impl Fn() -> bool,
) -> Kill {
    let mut killer = Killer::new(rate);
    listing.kill(filter, |killed| {
        if let (Some(ends), Some(ended)) = (ends, killed.ended) {
            ends.tell(ended);
        }
        killer.note(killed);
        if is_wanted() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    killer.finish()
}

struct Killer {
    nudger: io::Result<Nudger>,
    rate: Rate,
    /// When the next burst is due to have ended.
    due: Instant,
    count: u32,
    /// Connections whose ends are nudged again, in the order of their times.
    nudged: VecDeque<(Instant, Killed)>,
    failure: Option<io::Error>,
}

impl Killer {
    fn new(rate: Rate) -> Self {
        let due = Instant::now() + rate.time_of(rate.burst());
        let nudger = Nudger::open();
        Self { nudger, rate, due, count: 0, nudged: VecDeque::new(), failure: None }
    }

    fn note(&mut self, killed: Killed) {
        self.nudge(&killed);
        self.nudged.push_back((Instant::now() + AGAIN, killed));
        self.count += 1;
        if self.count.is_multiple_of(self.rate.burst()) {
            sleep(self.due.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            // What was found late is not made up for, as the reserve of resets is small.
            self.due = self.due.max(now) + self.rate.time_of(self.rate.burst());
            self.nudge_again(now);
        }
    }

    /// Nudges those whose time has come.
    fn nudge_again(&mut self, now: Instant) {
        while let Some((_, killed)) = self.nudged.pop_front_if(|(due, _)| *due <= now) {
            self.nudge(&killed);
        }
    }

    fn nudge(&mut self, killed: &Killed) {
        let Ok(nudger) = &self.nudger else { return };
        if let Err(error) = nudger.nudge(killed) {
            self.failure.get_or_insert(error);
        }
    }

    fn finish(mut self) -> Kill {
        while let Some((due, _)) = self.nudged.front() {
            sleep(due.saturating_duration_since(Instant::now()));
            self.nudge_again(Instant::now());
        }
        let error = self.failure.or(self.nudger.err());
        let warnings = error.map(|error| {
            format!(
                "not all ends could be told ({error}): those that are idle learn of it when they send \
                 next"
            )
        });
        Kill { killed: self.count.into(), warnings: warnings.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_the_limit_of_resets() {
        for (resets, rate, burst) in
            [(20_000, 1_000, 20), (100_000, 5_000, 100), (100, 5, 1), (1, 1, 1)]
        {
            assert_eq!(Rate::within(resets), Rate(rate));
            assert_eq!((Rate(rate).burst(), resets / 16 >= rate || rate == 1), (burst, true));
            assert_eq!(Rate(rate).time_of(3 * rate), Duration::from_secs(3));
        }
    }
}
