//! State machine of a backend's health.

use std::time::Duration;

use lb_model::{Health, HealthCheck};
use tokio::time::Instant;

/// Window in which repeated falls make a backend flapping.
const WINDOW: Duration = Duration::from_mins(10);

/// Maximum number of doublings: each fall within the window but the first doubles the successes
/// that bring a backend back up.
const DOUBLINGS: usize = 4;

/// Maximum of consecutive results that is shown: a check that fails for hours must not be news each
/// time.
const COUNTED: u32 = 16;

/// Progress of the results towards a change of health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Number of consecutive contrary results.
    pub(super) contrary: u32,
    /// Number of such results that change the health.
    pub(super) needed: u32,
}

/// The state of one address's checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    health: Health,
    /// Number of consecutive results that contradict `health`.
    contrary: u32,
    /// Times at which it went down, within the window.
    falls: Vec<Instant>,
}

impl Machine {
    pub(super) fn new(health: Health) -> Self {
        Self { health, contrary: 0, falls: Vec::new() }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    /// Returns true if the last result contradicts the health.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.contrary > 0
    }

    /// Processes a probe's result and returns the new health if it changes.
    ///
    /// With unknown health, the first result decides at once.
    pub(super) fn observe(
        &mut self,
        success: bool,
        check: &HealthCheck,
        now: Instant,
    ) -> Option<Health> {
        let (observed, threshold) =
            if success { (Health::Up, self.rise(check, now)) } else { (Health::Down, check.fall) };
        if self.health == observed {
            self.contrary = 0;
            return None;
        }
        self.contrary = self.contrary.saturating_add(1);
        if self.health != Health::Unknown && self.contrary < threshold {
            return None;
        }
        if (self.health, observed) == (Health::Up, Health::Down) {
            self.falls.retain(|fall| now.duration_since(*fall) < WINDOW);
            self.falls.push(now);
        }
        (self.health, self.contrary) = (observed, 0);
        Some(observed)
    }

    /// Returns the number of consecutive results that contradict the health, capped for display.
    pub(super) fn contrary(&self) -> u32 {
        self.contrary.min(COUNTED)
    }

    pub(super) fn doubt(&self, check: &HealthCheck, now: Instant) -> Doubt {
        let is_up = self.health == Health::Up;
        let needed = if is_up { check.fall } else { self.rise(check, now) };
        Doubt { contrary: self.contrary, needed }
    }

    /// Describes the contradiction to the health, and flapping, for display.
    pub(super) fn remark(&self, check: &HealthCheck, now: Instant) -> String {
        let is_down = self.health == Health::Down;
        let needed = if is_down { self.rise(check, now) } else { check.fall };
        let mut count = String::new();
        if self.contrary > 0 {
            let results = if is_down { "successes" } else { "failures" };
            let more = if self.contrary > COUNTED { "more than " } else { "" };
            count = format!("; {more}{} of {needed} {results}", self.contrary());
        }
        if is_down && needed != check.rise {
            return format!("{count}; flapping: {needed} successes in a row are needed");
        }
        count
    }

    /// Returns the number of consecutive successes that bring it back up.
    fn rise(&self, check: &HealthCheck, now: Instant) -> u32 {
        let falls = self.falls.iter().filter(|fall| now.duration_since(**fall) < WINDOW).count();
        check.rise.saturating_mul(1 << falls.saturating_sub(1).min(DOUBLINGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_result_decides_at_once() {
        assert_eq!(transitions(Health::Unknown, "+"), [Some(Health::Up)].to_vec());
        assert_eq!(transitions(Health::Unknown, "-"), [Some(Health::Down)].to_vec());
    }

    #[test]
    fn an_up_backend_falls_after_three_failures_in_a_row() {
        assert_eq!(
            transitions(Health::Up, "--+---"),
            [None, None, None, None, None, Some(Health::Down)]
        );
    }

    #[test]
    fn a_down_backend_rises_after_two_successes_in_a_row() {
        assert_eq!(transitions(Health::Down, "+-++"), [None, None, None, Some(Health::Up)]);
    }

    #[test]
    fn a_transition_starts_counting_anew() {
        assert_eq!(
            transitions(Health::Up, "---+-++"),
            [None, None, Some(Health::Down), None, None, None, Some(Health::Up)]
        );
    }

    /// Returns the change of health by each of a series of results, `+` or `-`.
    fn transitions(initial: Health, results: &str) -> Vec<Option<Health>> {
        let mut machine = Machine::new(initial);
        let (check, now) = (HealthCheck::default(), Instant::now());
        results.chars().map(|result| machine.observe(result == '+', &check, now)).collect()
    }

    #[test]
    fn results_that_contradict_the_health_are_counted() {
        let (check, now) = (HealthCheck { fall: 40, ..HealthCheck::default() }, Instant::now());
        let mut machine = Machine::new(Health::Up);
        assert_eq!(machine.remark(&check, now), "");
        for _ in 0..2 {
            machine.observe(false, &check, now);
        }
        assert_eq!(machine.remark(&check, now), "; 2 of 40 failures");
        for _ in 0..20 {
            machine.observe(false, &check, now);
        }
        assert_eq!(machine.remark(&check, now), "; more than 16 of 40 failures");
        fall(&mut machine, &check, now);
        assert_eq!(machine.remark(&check, now), "");
        machine.observe(true, &check, now);
        assert_eq!(machine.remark(&check, now), "; 1 of 2 successes");
    }

    fn fall(machine: &mut Machine, check: &HealthCheck, now: Instant) {
        while machine.health() != Health::Down {
            machine.observe(false, check, now);
        }
    }

    #[test]
    fn who_flaps_needs_longer_to_come_back() {
        let (check, start) = (HealthCheck::default(), Instant::now());
        let mut machine = Machine::new(Health::Up);
        let mut needed = Vec::new();
        for round in 0..7 {
            let now = start + Duration::from_secs(round);
            fall(&mut machine, &check, now);
            let mut successes = 1;
            while machine.observe(true, &check, now).is_none() {
                successes += 1;
            }
            needed.push(successes);
        }
        assert_eq!(needed, [2, 4, 8, 16, 32, 32, 32]);
        let later = start + WINDOW + Duration::from_secs(10);
        fall(&mut machine, &check, later);
        assert_eq!(machine.remark(&check, later), "");
        assert_eq!(machine.observe(true, &check, later), None);
        assert_eq!(machine.observe(true, &check, later), Some(Health::Up));
    }
}
