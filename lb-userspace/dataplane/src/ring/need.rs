//! Room in the kernel's maps that services may need.

use std::{fmt, ops};

use lb_common::limits;
use lb_model::{Limits, Scheduler, Service};

use super::{LONGEST, STEPS, gcd};

/// Numbers of map entries. Ring slots are those of whichever backends take connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    services: u64,
    backends: u64,
    slots: u64,
}

/// A limit that services exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Key of the limit, if it can be set.
    pub key: Option<&'static str>,
    pub message: String,
    pub fix: String,
}

impl Need {
    #[must_use]
    pub fn of(service: &Service) -> Self {
        Self { services: 1, backends: service.backends.len() as u64, slots: most_slots(service) }
    }

    /// Returns the first limit that this exceeds, unless the running services exceed it as much:
    /// they may be changed, as any change could be part of the fix.
    #[must_use]
    pub fn excess(self, running: Self, limits: &Limits) -> Option<Excess> {
        let exceeds = |need: fn(Self) -> u64, limit: u32| {
            need(self) > u64::from(limit) && need(self) > need(running)
        };
        if exceeds(|need| need.services, limits.services) {
            let Limits { services: limit, .. } = limits;
            return Some(Excess::of_key("limits.services", "services", self.services, *limit));
        }
        if exceeds(|need| need.backends, limits.backends) {
            let Limits { backends: limit, .. } = limits;
            return Some(Excess::of_key("limits.backends", "backends", self.backends, *limit));
        }
        exceeds(|need| need.slots, limits::RING_SLOTS).then(|| Excess {
            key: None,
            message: format!(
                "no room for the rings of all services: with all backends up they need {} slots, \
                 and there are {}",
                self.slots,
                limits::RING_SLOTS
            ),
            fix: format!(
                "use smaller weights with a common divisor, or fewer services with `maglev` or \
                 `source-hash`, which need {LONGEST} slots each"
            ),
        })
    }
}

impl Excess {
    fn of_key(key: &'static str, noun: &str, need: u64, limit: u32) -> Self {
        Self {
            key: Some(key),
            message: format!("no room for {need} {noun}: there may be {limit}"),
            fix: format!("raise `{key}`, or remove some"),
        }
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, fix, .. } = self;
        write!(f, "{message}: {fix}")
    }
}

impl std::error::Error for Excess {}

impl ops::AddAssign for Need {
    fn add_assign(&mut self, other: Self) {
        self.services += other.services;
        self.backends += other.backends;
        self.slots += other.slots;
    }
}

impl ops::SubAssign for Need {
    fn sub_assign(&mut self, other: Self) {
        self.services -= other.services;
        self.backends -= other.backends;
        self.slots -= other.slots;
    }
}

impl std::iter::Sum for Need {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

/// Returns the maximum length of a service's ring. Drained and disabled backends count: enabling
/// them must not fail.
#[must_use]
pub fn most_slots(service: &Service) -> u64 {
    let weights =
        || service.backends.iter().map(|one| u64::from(one.weight)).filter(|one| *one > 0);
    let longest = u64::from(LONGEST);
    match service.policy.scheduler {
        _ if weights().next().is_none() => 0,
        Scheduler::Maglev | Scheduler::SourceHash => longest,
        Scheduler::RoundRobin | Scheduler::LeastConnections | Scheduler::Random => {
            let divisor = weights().fold(0, gcd);
            let warms = !service.policy.failover.slow_start.is_zero();
            let steps = if warms { u64::from(STEPS) } else { 1 };
            // Scaling rounds each backend's share up, to at least one slot.
            let scaled = longest + weights().count() as u64;
            (weights().sum::<u64>() / divisor * steps).min(scaled)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use lb_model::{Admin, Backend, Policy, Protocol, Vip};
    use proptest::prelude::*;

    use super::*;
    use crate::ring::{Member, build};

    fn service(scheduler: Scheduler, weights: &[u16]) -> Service {
        let address = |last| SocketAddr::from(([10, 0, 0, last], 80));
        let backend = |(last, weight): (u8, &u16)| Backend {
            address: address(last),
            weight: *weight,
            backup: false,
            admin: Admin::Enabled,
            drain_until: None,
        };
        Service {
            name: "web".to_owned(),
            vip: Vip { address: address(0), protocol: Protocol::Tcp },
            policy: Policy { scheduler, ..Policy::default() },
            backends: (1..).zip(weights).map(backend).collect(),
        }
    }

    #[test]
    fn services_and_backends_are_limited_by_keys() {
        let limits = Limits { services: 1, backends: 2, ..Limits::default() };
        let need = |weights: &[&[u16]]| -> Need {
            weights.iter().map(|one| Need::of(&service(Scheduler::RoundRobin, one))).sum()
        };
        let fits = need(&[&[1, 1]]);
        assert_eq!(fits.excess(Need::default(), &limits), None);
        for (excessive, key) in
            [(need(&[&[], &[]]), "limits.services"), (need(&[&[1, 1, 1]]), "limits.backends")]
        {
            let excess = excessive.excess(fits, &limits).expect(key);
            assert_eq!(excess.key, Some(key));
            assert!(excess.to_string().contains(&format!("raise `{key}`")), "{excess}");
            assert_eq!(excessive.excess(excessive, &limits), None, "it runs already");
        }
    }

    #[test]
    fn backends_without_weight_need_no_slots() {
        for scheduler in [Scheduler::Random, Scheduler::Maglev] {
            assert_eq!(most_slots(&service(scheduler, &[0, 0])), 0);
        }
        assert_eq!(most_slots(&service(Scheduler::RoundRobin, &[0, 4, 6])), 5);
    }

    fn schedulers() -> impl Strategy<Value = Scheduler> {
        prop_oneof![Just(Scheduler::RoundRobin), Just(Scheduler::Maglev)]
    }

    proptest! {
        #[test]
        fn no_ring_is_longer_whichever_backends_take_connections(
            scheduler in schedulers(),
            members in prop::collection::vec((1_u16..=300, 1_u16..=10, any::<bool>()), 1..8),
            factor in 1_u16..=200,
            is_slow: bool,
        ) {
            let weights: Vec<_> = members.iter().map(|(weight, ..)| weight * factor).collect();
            let mut service = service(scheduler, &weights);
            service.policy.failover.slow_start = std::time::Duration::from_secs(is_slow.into());
            let taking = members.iter().zip(&service.backends).zip(1..);
            let taking = taking.filter(|(((_, _, takes), _), _)| *takes);
            let taking: Vec<_> = taking
                .map(|(((weight, step, _), backend), id)| Member {
                    id,
                    address: backend.address,
                    weight: weight * if is_slow { *step } else { 10 },
                })
                .collect();
            let ring = build(scheduler, &taking);
            prop_assert!(ring.len() as u64 <= most_slots(&service), "{} {taking:?}", ring.len());
        }
    }
}
