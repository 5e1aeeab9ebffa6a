//! Rates, from two readings.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use lb_model::views::{ServiceView, Stats};

use super::poll::Reading;

/// Traffic per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) connections: f64,
    pub(super) packets: f64,
    pub(super) bits: f64,
}

/// Rates between two readings. Those of what only the later one has are zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    backends: HashMap<(String, SocketAddr), Rate>,
    /// Frames by verdict.
    pub(super) verdicts: Vec<(String, f64)>,
    pub(super) total: Rate,
}

impl Rates {
    pub(super) fn between(earlier: &Reading, later: &Reading) -> Self {
        let time = later.at.saturating_duration_since(earlier.at);
        if time.is_zero() {
            return Self::default();
        }
        let backends = of_backends(&earlier.services, &later.services, time);
        let total = backends.values().copied().fold(Rate::default(), Rate::and);
        let verdicts = of_verdicts(&later.stats.clone().since(&earlier.stats), time);
        Self { backends, verdicts, total }
    }

    pub(super) fn of_backend(&self, service: &str, address: SocketAddr) -> Rate {
        self.backends.get(&(service.to_owned(), address)).copied().unwrap_or_default()
    }

    pub(super) fn of_service(&self, service: &ServiceView) -> Rate {
        let rates = service.backends.iter().map(|one| self.of_backend(&service.name, one.address));
        rates.fold(Rate::default(), Rate::and)
    }
}

impl Rate {
    fn and(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            packets: self.packets + other.packets,
            bits: self.bits + other.bits,
        }
    }
}

type Totals<'a> = HashMap<(&'a str, SocketAddr), [u64; 3]>;

fn totals(services: &[ServiceView]) -> Totals<'_> {
    let backends = services
        .iter()
        .flat_map(|service| service.backends.iter().map(move |one| (service.name.as_str(), one)));
    let totals = backends.map(|(name, one)| {
        ((name, one.address), [one.connections_total, one.packets_total, one.bytes_total])
    });
    totals.collect()
}

fn of_backends(
    earlier: &[ServiceView],
    later: &[ServiceView],
    time: Duration,
) -> HashMap<(String, SocketAddr), Rate> {
    let (before, after) = (totals(earlier), totals(later));
    let rate = |((name, address), now): (_, [u64; 3])| {
        let then = before.get(&(name, address))?;
        let [connections, packets, bytes] =
            [0, 1, 2].map(|nth| per_second(now[nth].saturating_sub(then[nth]), time));
        let name: &str = name;
        Some(((name.to_owned(), address), Rate { connections, packets, bits: 8.0 * bytes }))
    };
    after.into_iter().filter_map(rate).collect()
}

fn of_verdicts(since: &Stats, time: Duration) -> Vec<(String, f64)> {
    let mut rates: Vec<(String, f64)> = Vec::new();
    for view in &since.packets {
        let rate = per_second(view.packets, time);
        match rates.iter_mut().find(|(verdict, _)| *verdict == view.verdict) {
            Some((_, sum)) => *sum += rate,
            None => rates.push((view.verdict.clone(), rate)),
        }
    }
    rates
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown in three digits")]
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
