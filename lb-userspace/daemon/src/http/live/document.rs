//! What the page shows: the API's views, with rates.

use std::{collections::BTreeMap, mem, net::SocketAddr};

use jiff::Timestamp;
use lb_model::views::{BackendStats, IncidentView, ServiceStats, Status, VerdictView};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::rates::{Rates, Recent};
use crate::overview::{self, Overview};

/// Maximum number of services that are shown: it limits the size of an event.
const SERVICES: usize = 1_000;

/// Maximum number of backends that are shown.
const BACKENDS: usize = 5_000;

/// Every part is encoded once, for all viewers and for the comparison with the next sample.
#[derive(Default)]
pub(super) struct Document {
    pub(super) all: Box<RawValue>,
    pub(super) services: BTreeMap<String, OfService>,
}

pub(super) struct OfService {
    /// The service without its backends.
    pub(super) own: Box<RawValue>,
    pub(super) backends: BTreeMap<SocketAddr, Box<RawValue>>,
}

impl Document {
    /// There are no rates without a sample before.
    pub(super) fn new(mut overview: Overview, recent: Option<&Recent>) -> serde_json::Result<Self> {
        let (mut services, mut room, mut left_out) = (BTreeMap::new(), BACKENDS, 0);
        let all = mem::take(&mut overview.services);
        let services_left_out = all.len().saturating_sub(SERVICES);
        for (place, one) in all.into_iter().enumerate() {
            if place >= SERVICES {
                left_out += one.view.backends.len();
                continue;
            }
            let counted = recent.and_then(|all| Some((all, all.stats.services.get(place)?)));
            let count = one.view.backends.len();
            let name = one.view.name.clone();
            services.insert(name, OfService::new(place, one, counted, room)?);
            left_out += count.saturating_sub(room);
            room = room.saturating_sub(count);
        }
        let all = to_raw_value(&All::new(overview, recent, [services_left_out, left_out]))?;
        Ok(Self { all, services })
    }
}

impl OfService {
    /// The service's backends are in the same order as their counters.
    fn new(
        place: usize,
        service: overview::OfService,
        counted: Option<(&Recent, &ServiceStats)>,
        room: usize,
    ) -> serde_json::Result<Self> {
        let overview::OfService { mut view, stats, .. } = service;
        let backends = mem::take(&mut view.backends).into_iter().take(room).enumerate();
        let backends = backends.map(|(place, view)| {
            let of =
                |(recent, of): (&Recent, &ServiceStats)| Some(recent.of(of.backends.get(place)?));
            let address = view.address;
            let tcp = stats.backends.get(place).map(Tcp::of);
            Ok((address, to_raw_value(&Row { view, place, rates: counted.and_then(of), tcp })?))
        });
        let backends = backends.collect::<serde_json::Result<_>>()?;
        let rates = counted.map(|(recent, of_service)| sum(of_service, recent));
        Ok(Self { own: to_raw_value(&Row { view, place, rates, tcp: None })?, backends })
    }
}

/// A service or a backend.
#[derive(Serialize)]
struct Row<T> {
    #[serde(flatten)]
    view: T,
    /// Place in the configuration.
    place: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<Rates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<Tcp>,
}

/// How well connections to a backend have gone since the start.
#[derive(Serialize)]
struct Tcp {
    resets_by_client: u64,
    resets_by_backend: u64,
    retransmitted_syns: u64,
    /// Half of the handshakes took no longer, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    median_us: Option<f64>,
    /// 99 % of the handshakes took no longer, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_us: Option<f64>,
}

impl Tcp {
    fn of(stats: &BackendStats) -> Self {
        let micros = |share| Some(stats.handshakes.quantile(share)?.as_secs_f64() * 1e6);
        Self {
            resets_by_client: stats.resets_by_client,
            resets_by_backend: stats.resets_by_backend,
            retransmitted_syns: stats.retransmitted_syns,
            median_us: micros(0.5),
            p99_us: micros(0.99),
        }
    }
}

/// What is not of a single service.
#[derive(Serialize)]
struct All {
    at: Timestamp,
    /// Version of the services.
    document: u64,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<Rates>,
    packets: Vec<Reason>,
    incidents: Vec<Counted>,
    /// Number of services that are not shown.
    services_left_out: usize,
    /// Number of backends that are not shown.
    left_out: usize,
}

#[derive(Serialize)]
struct Reason {
    #[serde(flatten)]
    view: VerdictView,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
}

#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    view: IncidentView,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
}

impl All {
    fn new(overview: Overview, recent: Option<&Recent>, left_out: [usize; 2]) -> Self {
        let [services_left_out, left_out] = left_out;
        let Overview { status, version, stats, .. } = overview;
        let packets = stats.packets.into_iter().enumerate().filter(|(_, view)| view.packets > 0);
        let packets = packets.map(|(place, view)| {
            let rate = |of: &Recent| Some(of.per_second(of.stats.packets.get(place)?.packets));
            Reason { view, rate: recent.and_then(rate) }
        });
        let incidents = stats.incidents.into_iter().enumerate().filter(|(_, view)| view.total > 0);
        let incidents = incidents.map(|(place, view)| {
            let rate = |of: &Recent| Some(of.per_second(of.stats.incidents.get(place)?.total));
            Counted { view, rate: recent.and_then(rate) }
        });
        Self {
            at: stats.at,
            document: version,
            status,
            rates: recent.map(|all| all.stats.services.iter().map(|one| sum(one, all)).sum()),
            packets: packets.collect(),
            incidents: incidents.collect(),
            services_left_out,
            left_out,
        }
    }
}

/// Returns the rates of a service, with those of removed backends.
fn sum(of_service: &ServiceStats, recent: &Recent) -> Rates {
    of_service.backends.iter().map(|one| recent.of(one)).sum()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use lb_model::views::BackendView;
    use serde_json::Value;

    use super::*;
    use crate::overview::example::overview;

    #[test]
    fn the_number_of_backends_is_limited() {
        let mut overview = overview();
        let example = overview.services[0].view.backends[0].clone();
        let crowd = (0..6_000).map(|nth| {
            let address = (Ipv4Addr::from_bits(0x0a00_0000 + nth), 80).into();
            BackendView { address, ..example.clone() }
        });
        overview.services[0].view.backends = crowd.collect();
        let document = Document::new(overview, None).expect("encoded");
        let all: Value = serde_json::from_str(document.all.get()).expect("JSON");
        assert_eq!(all["services_left_out"], 0);
        assert_eq!(
            (document.services["web\"\n"].backends.len(), &all["left_out"]),
            (5_000, &1_000.into())
        );
    }

    #[test]
    fn the_number_of_services_is_limited() {
        let mut overview = overview();
        let example = overview.services[0].clone();
        overview.services = (0..1_200)
            .map(|nth| {
                let mut one = example.clone();
                one.view.name = format!("web{nth}");
                one
            })
            .collect();
        let document = Document::new(overview, None).expect("encoded");
        let all: Value = serde_json::from_str(document.all.get()).expect("JSON");
        assert_eq!(document.services.len(), 1_000);
        assert_eq!((&all["services_left_out"], &all["left_out"]), (&200.into(), &200.into()));
    }
}
