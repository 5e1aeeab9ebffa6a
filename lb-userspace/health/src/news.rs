//! Selection of the check results that are reported.

use std::time::Duration;

use lb_model::Health;
use tokio::time::Instant;

use super::{machine::Machine, outcome::Outcome};

/// Minimum time between two reports that do not change the health.
const PAUSE: Duration = Duration::from_secs(1);

/// Minimum time between two reports that only differ in the text of a failure: servers may put the
/// time in it.
const TEXT_PAUSE: Duration = Duration::from_secs(10);

/// Last result reported.
#[derive(Debug, Default)]
pub(super) struct News(Option<Told>);

#[derive(Debug)]
struct Told {
    health: Health,
    success: Option<bool>,
    detail: String,
    contrary: u32,
    at: Instant,
}

impl News {
    /// Takes a result, and returns true if it is to be reported. Unchanged results are reported
    /// once; results that change without changing the health, at most once a second.
    pub(super) fn take(&mut self, outcome: &Outcome, machine: &Machine, now: Instant) -> bool {
        let is_news = self.0.as_ref().is_none_or(|told| told.is_stale(outcome, machine, now));
        if is_news {
            self.told(outcome, machine, now);
        }
        is_news
    }

    /// Records that a result has been reported.
    pub(super) fn told(&mut self, outcome: &Outcome, machine: &Machine, now: Instant) {
        self.0 = Some(Told {
            health: machine.health(),
            success: outcome.success,
            detail: outcome.detail.clone(),
            contrary: machine.contrary(),
            at: now,
        });
    }
}

impl Told {
    fn is_stale(&self, outcome: &Outcome, machine: &Machine, now: Instant) -> bool {
        let can_check = outcome.success.is_some();
        if self.health != machine.health() || self.success.is_some() != can_check {
            return true;
        }
        let age = now.duration_since(self.at);
        if code(&self.detail) != code(&outcome.detail) || self.contrary != machine.contrary() {
            return age >= PAUSE;
        }
        // Successes differ only in their duration.
        let is_other_failure = outcome.success != Some(true) && self.detail != outcome.detail;
        is_other_failure && age >= TEXT_PAUSE
    }
}

/// Returns the code, like `L7STS/503`.
fn code(detail: &str) -> &str {
    detail.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_model::HealthCheck;

    /// Feeds results 1.5 s apart, and returns the indices of those to report.
    fn told(initial: Health, results: &[(Option<bool>, &str)]) -> Vec<usize> {
        let (check, start) = (HealthCheck::default(), Instant::now());
        let (mut machine, mut news) = (Machine::new(initial), News::default());
        let mut told = Vec::new();
        for (nth, (success, detail)) in results.iter().enumerate() {
            let now = start + Duration::from_millis(1_500) * u32::try_from(nth).expect("few");
            success.and_then(|well| machine.observe(well, &check, now));
            let outcome = Outcome { success: *success, detail: (*detail).to_owned() };
            if news.take(&outcome, &machine, now) {
                told.push(nth);
            }
        }
        told
    }

    const GOOD: (Option<bool>, &str) = (Some(true), "L4OK connected in 1ms");
    const REFUSED: (Option<bool>, &str) = (Some(false), "L4CON Connection refused");

    #[test]
    fn equal_results_are_told_once() {
        let slower = (Some(true), "L4OK connected in 9ms");
        assert_eq!(told(Health::Up, &[GOOD, slower, GOOD, slower]), [0]);
        assert_eq!(told(Health::Down, &[REFUSED; 30]), [0]);
    }

    #[test]
    fn failures_are_told_before_they_decide_and_successes_that_end_them() {
        assert_eq!(told(Health::Up, &[GOOD, REFUSED, REFUSED, GOOD, GOOD]), [0, 1, 2, 3]);
    }

    #[test]
    fn another_failure_of_a_backend_that_is_down_is_told() {
        let status = (Some(false), "L7STS/503 got 503, want 200-399");
        assert_eq!(told(Health::Down, &[REFUSED, status, status]), [0, 1]);
        let unreachable = (Some(false), "L4CON No route to host");
        let mut results = vec![REFUSED];
        results.extend([unreachable; 9]);
        assert_eq!(told(Health::Down, &results), [0, 7]);
    }

    #[test]
    fn a_check_that_cannot_be_carried_out_is_told_and_that_it_can_again() {
        let cannot = (None, "PROCERR /check cannot be run as nobody: Permission denied");
        assert_eq!(told(Health::Up, &[GOOD, cannot, cannot, GOOD]), [0, 1, 3]);
    }

    #[test]
    fn results_are_told_once_a_second_at_most() {
        let (check, start) =
            (HealthCheck { fall: 1_000, ..HealthCheck::default() }, Instant::now());
        let (mut machine, mut news) = (Machine::new(Health::Up), News::default());
        let mut count = 0;
        for nth in 0..1_000_u32 {
            let now = start + Duration::from_millis(10) * nth;
            let well = nth % 2 == 0;
            machine.observe(well, &check, now);
            let (_, detail) = if well { GOOD } else { REFUSED };
            let outcome = Outcome { success: Some(well), detail: detail.to_owned() };
            count += u32::from(news.take(&outcome, &machine, now));
        }
        assert!((5..=11).contains(&count), "{count} in ten seconds");
    }
}
