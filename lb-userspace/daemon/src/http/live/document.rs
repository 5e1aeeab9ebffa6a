//! What the page shows, as one JSON document: the API's views, by name, with rates.

use std::{collections::BTreeMap, mem, net::SocketAddr};

use jiff::Timestamp;
use lb_model::{
    XdpMode,
    views::{
        BackendStats, BackendView, IncidentView, ServiceStats, ServiceView, Status, VerdictView,
    },
};
use serde::Serialize;
use serde_json::Value;

use super::rates::{Rates, Recent};
use crate::overview::Overview;

/// Maximum number of backends that are shown: it limits the size of an event.
const BACKENDS: usize = 5_000;

/// Returns the document. There are no rates without a sample before.
pub(super) fn of(mut overview: Overview, recent: Option<&Recent>) -> serde_json::Result<Value> {
    let mut shown = Shown::default();
    let services = mem::take(&mut overview.services);
    for (place, one) in services.into_iter().enumerate() {
        let recent = recent.and_then(|recent| Some((recent, recent.stats.services.get(place)?)));
        shown.add(place, one.view, recent)?;
    }
    let all = recent.map(|recent| recent.stats.services.iter().map(|one| sum(one, recent)).sum());
    let Shown { services, left_out, .. } = shown;
    serde_json::to_value(Document {
        at: overview.stats.at,
        document: overview.version,
        xdp_mode: overview.xdp_mode,
        status: overview.status,
        rates: all,
        packets: reasons(overview.stats.packets, recent),
        incidents: incidents(overview.stats.incidents, recent),
        services,
        left_out,
    })
}

#[derive(Serialize)]
struct Document {
    at: Timestamp,
    /// Version of the services.
    document: u64,
    /// As configured.
    xdp_mode: XdpMode,
    status: Status,
    /// Of all services.
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<Rates>,
    packets: BTreeMap<String, Reason>,
    incidents: BTreeMap<String, Incidents>,
    /// By name; a service's backends are by address.
    services: BTreeMap<String, Value>,
    /// Number of backends that are not shown.
    left_out: usize,
}

/// A backend, or a service without its backends.
#[derive(Serialize)]
struct Row<T> {
    #[serde(flatten)]
    view: T,
    /// Place in the configuration.
    place: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    rates: Option<Rates>,
}

#[derive(Serialize)]
struct Reason {
    #[serde(flatten)]
    view: VerdictView,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
}

#[derive(Serialize)]
struct Incidents {
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
}

#[derive(Default)]
struct Shown {
    services: BTreeMap<String, Value>,
    backends: usize,
    left_out: usize,
}

impl Shown {
    fn add(
        &mut self,
        place: usize,
        mut view: ServiceView,
        recent: Option<(&Recent, &ServiceStats)>,
    ) -> serde_json::Result<()> {
        let backends = mem::take(&mut view.backends);
        let rates = recent.map(|(recent, of_service)| sum(of_service, recent));
        let name = view.name.clone();
        let mut service = serde_json::to_value(Row { view, place, rates })?;
        let counted = recent.map(|(recent, of_service)| (recent, &*of_service.backends));
        service["backends"] = serde_json::to_value(self.rows(backends, counted))?;
        self.services.insert(name, service);
        Ok(())
    }

    /// Returns the rows of a service's backends, which are in the same order as their counters.
    fn rows(
        &mut self,
        backends: Vec<BackendView>,
        recent: Option<(&Recent, &[BackendStats])>,
    ) -> BTreeMap<SocketAddr, Row<BackendView>> {
        let room = BACKENDS - self.backends;
        let shown = backends.len().min(room);
        self.backends += shown;
        self.left_out += backends.len() - shown;
        let rows = backends.into_iter().take(room).enumerate().map(|(place, view)| {
            let rates = recent.and_then(|(recent, of)| Some(recent.of(of.get(place)?)));
            (view.address, Row { view, place, rates })
        });
        rows.collect()
    }
}

/// Returns the rates of a service, with those of removed backends.
fn sum(of_service: &ServiceStats, recent: &Recent) -> Rates {
    of_service.backends.iter().map(|one| recent.of(one)).sum()
}

fn reasons(packets: Vec<VerdictView>, recent: Option<&Recent>) -> BTreeMap<String, Reason> {
    let seen = packets.into_iter().enumerate().filter(|(_, view)| view.packets > 0);
    let rows = seen.map(|(place, view)| {
        let of =
            |recent: &Recent| Some(recent.per_second(recent.stats.packets.get(place)?.packets));
        (view.reason.clone(), Reason { view, rate: recent.and_then(of) })
    });
    rows.collect()
}

fn incidents(incidents: Vec<IncidentView>, recent: Option<&Recent>) -> BTreeMap<String, Incidents> {
    let seen = incidents.into_iter().enumerate().filter(|(_, view)| view.total > 0);
    let rows = seen.map(|(place, IncidentView { incident, total })| {
        let of =
            |recent: &Recent| Some(recent.per_second(recent.stats.incidents.get(place)?.total));
        (incident, Incidents { total, rate: recent.and_then(of) })
    });
    rows.collect()
}
