//! When a backend counts as up and when as down.

use crate::model::{Health, HealthCheck};

/// The state of one backend's checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    health: Health,
    /// Results in a row that speak against `health`.
    contrary: u32,
}

impl Machine {
    pub(super) fn new(health: Health) -> Self {
        Self { health, contrary: 0 }
    }

    pub(super) fn health(self) -> Health {
        self.health
    }

    /// Takes a probe's result and returns the new health if that changes it.
    ///
    /// The first result of a backend that nothing is known of decides at once.
    pub(super) fn observe(&mut self, success: bool, check: &HealthCheck) -> Option<Health> {
        let (observed, threshold) =
            if success { (Health::Up, check.rise) } else { (Health::Down, check.fall) };
        if self.health == observed {
            self.contrary = 0;
            return None;
        }
        self.contrary = self.contrary.saturating_add(1);
        if self.health != Health::Unknown && self.contrary < threshold {
            return None;
        }
        *self = Self::new(observed);
        Some(observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: HealthCheck = HealthCheck {
        probe: crate::model::Probe::Tcp,
        interval: std::time::Duration::from_secs(2),
        timeout: std::time::Duration::from_secs(1),
        rise: 2,
        fall: 3,
    };

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
        results.chars().map(|result| machine.observe(result == '+', &CHECK)).collect()
    }
}
