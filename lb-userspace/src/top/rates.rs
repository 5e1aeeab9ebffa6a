//! Rates, from two readings.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use lb_model::views::{BackendStats, ServiceStats, Stats};

use super::poll::Reading;

/// Traffic per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) connections: f64,
    pub(super) packets: f64,
    pub(super) bits: f64,
}

/// Rates between two readings.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    /// With those of removed backends.
    services: HashMap<String, Rate>,
    backends: HashMap<(String, SocketAddr), Rate>,
    /// Frames by verdict.
    pub(super) verdicts: Vec<(String, f64)>,
    /// With those of removed services.
    pub(super) total: Rate,
}

impl Rates {
    pub(super) fn between(earlier: &Reading, later: &Reading) -> Self {
        let time = later.at.saturating_duration_since(earlier.at);
        if time.is_zero() {
            return Self::default();
        }
        let since = later.stats.clone().since(&earlier.stats);
        let verdicts = of_verdicts(&since, time);
        let mut rates = Self { verdicts, ..Self::default() };
        for service in &since.services {
            rates.add(service, time);
        }
        rates
    }

    fn add(&mut self, service: &ServiceStats, time: Duration) {
        for backend in &service.backends {
            let rate = Rate::of(backend, time);
            self.total = self.total.and(rate);
            if service.removed {
                continue;
            }
            let sum = self.services.entry(service.name.clone()).or_default();
            *sum = sum.and(rate);
            if backend.removed_left.is_none() {
                self.backends.insert((service.name.clone(), backend.address), rate);
            }
        }
    }

    pub(super) fn of_backend(&self, service: &str, address: SocketAddr) -> Rate {
        self.backends.get(&(service.to_owned(), address)).copied().unwrap_or_default()
    }

    pub(super) fn of_service(&self, service: &str) -> Rate {
        self.services.get(service).copied().unwrap_or_default()
    }
}

impl Rate {
    fn of(since: &BackendStats, time: Duration) -> Self {
        let BackendStats { connections, packets_in, packets_out, bytes_in, bytes_out, .. } = since;
        Self {
            connections: per_second(*connections, time),
            packets: per_second(packets_in + packets_out, time),
            bits: 8.0 * per_second(bytes_in + bytes_out, time),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            packets: self.packets + other.packets,
            bits: self.bits + other.bits,
        }
    }
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
