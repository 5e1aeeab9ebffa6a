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

/// Connections per second: less than the program may reset for one network of 256 addresses.
const RATE: u32 = 1_000;

/// Connections that are killed at once, before the rate is kept.
const BURST: u32 = 20;

/// Time after which the ends are nudged again, in case a segment was lost. They answer twice a second
/// at most.
const AGAIN: Duration = Duration::from_secs(1);

/// Kills all matching connections, in a while, as long as they are `wanted`.
pub(crate) fn kill(listing: &Listing, filter: &Filter, is_wanted: impl Fn() -> bool) -> Kill {
    let mut killer = Killer::new();
    listing.kill(filter, |killed| {
        killer.note(killed);
        if is_wanted() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    killer.finish()
}

struct Killer {
    nudger: io::Result<Nudger>,
    begun: Instant,
    count: u32,
    /// Connections whose ends are nudged again, in the order of their times.
    nudged: VecDeque<(Instant, Killed)>,
    failure: Option<io::Error>,
}

impl Killer {
    fn new() -> Self {
        let (begun, nudger) = (Instant::now(), Nudger::open());
        Self { nudger, begun, count: 0, nudged: VecDeque::new(), failure: None }
    }

    fn note(&mut self, killed: Killed) {
        self.nudge(&killed);
        self.nudged.push_back((Instant::now() + AGAIN, killed));
        self.count += 1;
        if self.count.is_multiple_of(BURST) {
            let due = self.begun + Duration::from_secs(1) * self.count / RATE;
            sleep(due.saturating_duration_since(Instant::now()));
            self.nudge_again(Instant::now());
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
