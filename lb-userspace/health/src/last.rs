//! Last check of an address, for status queries.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imbl::OrdMap;
use jiff::Timestamp;

use super::{machine::Doubt, outcome::Outcome, tally::Tally};

/// Result of the last check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCheck {
    pub at: Timestamp,
    /// None if it could not be carried out.
    pub success: Option<bool>,
    pub result: String,
    /// The result, its contradiction to the health, and whether the backend is flapping.
    pub detail: String,
    /// Number of consecutive results that contradict the health.
    pub contrary: u32,
    /// Number of such results that change the health.
    pub needed: u32,
}

/// Shared storage for the checks of an address.
#[derive(Clone, Debug, Default)]
pub(super) struct Latest(Arc<Mutex<Checked>>);

#[derive(Debug, Default)]
struct Checked {
    last: Option<LastCheck>,
    tally: Tally,
}

impl Latest {
    pub(super) fn put(&self, outcome: &Outcome, took: Duration, detail: String, doubt: Doubt) {
        let Doubt { contrary, needed } = doubt;
        let (at, success, result) = (Timestamp::now(), outcome.success, outcome.detail.clone());
        let mut checked = self.lock();
        checked.tally.count(success, took);
        checked.last = Some(LastCheck { at, success, result, detail, contrary, needed });
    }

    fn lock(&self) -> MutexGuard<'_, Checked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The checks of all targets, for any thread. Clones share common parts, and see later results of the
/// same targets.
#[derive(Clone, Debug, Default)]
pub struct Results(OrdMap<String, OfService>);

#[derive(Clone, Debug, Default)]
struct OfService {
    targets: Arc<HashMap<SocketAddr, Checks>>,
    /// Checks of targets that are not checked any more: a counter must not go back.
    departed: Tally,
}

/// Checks of an address, which other services may share.
#[derive(Clone, Debug)]
struct Checks {
    latest: Latest,
    /// Checks before the service had the target.
    before: Tally,
}

impl Checks {
    fn begin(latest: Latest) -> Self {
        let before = latest.lock().tally.clone();
        Self { latest, before }
    }

    fn tally(&self) -> Tally {
        self.latest.lock().tally.since(&self.before)
    }
}

impl Results {
    pub(super) fn set(&mut self, service: &str, latest: HashMap<SocketAddr, Latest>) {
        let of_service = self.0.entry(service.to_owned()).or_default();
        let mut targets = HashMap::new();
        for (address, latest) in latest {
            let known = of_service.targets.get(&address);
            let known = known.filter(|known| Arc::ptr_eq(&known.latest.0, &latest.0));
            targets.insert(address, known.cloned().unwrap_or_else(|| Checks::begin(latest)));
        }
        for (address, known) in of_service.targets.iter() {
            let is_same = |now: &Checks| Arc::ptr_eq(&now.latest.0, &known.latest.0);
            if !targets.get(address).is_some_and(is_same) {
                of_service.departed += &known.tally();
            }
        }
        of_service.targets = targets.into();
    }

    pub(super) fn forget(&mut self, service: &str) {
        self.0.remove(service);
    }

    /// Returns the last check of a target. None before the first one has ended, or without checks.
    #[must_use]
    pub fn last(&self, service: &str, address: SocketAddr) -> Option<LastCheck> {
        self.0.get(service)?.targets.get(&address)?.latest.lock().last.clone()
    }

    /// Returns all checks of a service's targets, since the daemon started.
    #[must_use]
    pub fn tally(&self, service: &str) -> Tally {
        let Some(OfService { targets, departed }) = self.0.get(service) else {
            return Tally::default();
        };
        let mut sum = departed.clone();
        for target in targets.values() {
            sum += &target.tally();
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(latest: &Latest) {
        latest.lock().tally.count(Some(true), Duration::from_millis(3));
    }

    #[test]
    fn checks_of_departed_targets_still_count_and_none_counts_twice() {
        let [one, other] = [1, 2].map(|last| SocketAddr::from(([10, 0, 0, last], 80)));
        let (first, second) = (Latest::default(), Latest::default());
        check(&first);
        let mut results = Results::default();
        let passed = |results: &Results| results.tally("web").passed;
        results.set("web", [(one, first.clone()), (other, second.clone())].into());
        assert_eq!(passed(&results), 0, "it was for another service");
        check(&first);
        check(&second);
        assert_eq!(passed(&results), 2);
        results.set("web", [(other, second.clone())].into());
        assert_eq!(passed(&results), 2, "one has departed");
        check(&first);
        results.set("web", [(one, first.clone()), (other, second)].into());
        assert_eq!(passed(&results), 2, "it is back, with the same checks as other services");
        check(&first);
        assert_eq!(passed(&results), 3);
        results.set("web", HashMap::new());
        assert_eq!(passed(&results), 3);
        results.forget("web");
        assert_eq!(results.tally("web"), Tally::default());
    }
}
