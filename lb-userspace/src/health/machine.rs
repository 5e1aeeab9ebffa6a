//! When a backend counts as up and when as down.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Health, HealthCheck};

/// Falls within this time make a backend a flapping one.
const WINDOW: Duration = Duration::from_mins(10);

/// Each fall within the window but the first doubles the successes that bring a backend back, up to
/// this often.
const DOUBLINGS: usize = 4;

/// The state of one address's checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    health: Health,
    /// Results in a row that speak against `health`.
    contrary: u32,
    /// When it went down, within the window.
    falls: Vec<Instant>,
}

impl Machine {
    pub(super) fn new(health: Health) -> Self {
        Self { health, contrary: 0, falls: Vec::new() }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    /// Whether the last result speaks against the health.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.contrary > 0
    }

    /// Takes a probe's result and returns the new health if that changes it.
    ///
    /// The first result of a backend that nothing is known of decides at once.
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

    /// What is to be said of a backend that goes up and down.
    pub(super) fn warning(&self, check: &HealthCheck, now: Instant) -> String {
        let needed = self.rise(check, now);
        if self.health != Health::Down || needed == check.rise {
            return String::new();
        }
        format!("; it flaps: {needed} successes in a row are needed")
    }

    /// Successes in a row that bring it back.
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

    /// What each of a row of results, `+` or `-`, changes.
    fn transitions(initial: Health, results: &str) -> Vec<Option<Health>> {
        let mut machine = Machine::new(initial);
        let (check, now) = (HealthCheck::default(), Instant::now());
        results.chars().map(|result| machine.observe(result == '+', &check, now)).collect()
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
        assert_eq!(machine.warning(&check, later), "");
        assert_eq!(machine.observe(true, &check, later), None);
        assert_eq!(machine.observe(true, &check, later), Some(Health::Up));
    }
}
