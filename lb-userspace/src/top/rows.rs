//! Rows of the tables.

use std::collections::HashMap;

use lb_config::word;
use lb_host::printable;
use lb_model::{
    Health,
    connections::{Account, Connection},
    views::{BackendStats, BackendView, Handshakes, ServiceStats, ServiceView},
};

use super::{
    cells::Cell,
    figures::latency,
    rates::{Rate, Rates},
};
use crate::cli::{age, count, last_check, span, standing};

/// Marks a row that somebody should look at.
const MARK: &str = "!";

pub(super) struct Row {
    /// What stays the same from reading to reading.
    pub(super) key: String,
    pub(super) cells: Vec<Cell>,
    /// Everything that is worth saying, which may be too long for the row.
    pub(super) detail: String,
    /// Figures that have no column, or none on a narrow terminal.
    pub(super) figures: String,
    pub(super) is_marked: bool,
}

impl Row {
    /// Returns true if a word or an address of it has this text, which is in lower case.
    pub(super) fn has(&self, text: &str) -> bool {
        self.cells.iter().any(|cell| cell.has(text))
    }
}

pub(super) fn of_services(services: &[ServiceView], rates: &Rates) -> Vec<Row> {
    services.iter().map(|service| of_service(service, rates)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "sorting needs no more")]
fn of_service(service: &ServiceView, rates: &Rates) -> Row {
    let backends = &service.backends;
    let up = backends.iter().filter(|one| one.health == Health::Up).count();
    let sum = |part: fn(&BackendView) -> u64| backends.iter().map(part).sum();
    let Rate { connections, packets, bits } = rates.of_service(&service.name);
    let out = backends.len() - up;
    let not_up = (out > 0).then(|| format!("{} not up", count(out, "backend")));
    let said = not_up.iter().chain(&service.warnings).cloned().collect::<Vec<_>>().join("; ");
    Row {
        key: service.name.clone(),
        cells: vec![
            mark(!said.is_empty()),
            Cell::text(&service.name),
            Cell::address(service.vip),
            Cell::number(up as f64, format!("{up}/{}", backends.len())),
            Cell::count(sum(|one| one.active_connections)),
            Cell::rate(connections),
            Cell::rate(packets),
            Cell::rate(bits),
            Cell::count(sum(|one| one.connections_total)),
            Cell::text(word(&service.policy.scheduler)),
            Cell::text(&said),
        ],
        detail: detail(&service.name, &said),
        figures: String::new(),
        is_marked: !said.is_empty(),
    }
}

pub(super) fn of_backends(
    service: &ServiceView,
    counters: Option<&ServiceStats>,
    rates: &Rates,
) -> Vec<Row> {
    let counters = counters.into_iter().flat_map(|service| &service.backends);
    let present = counters.filter(|one| one.removed_left.is_none());
    let counters: HashMap<_, _> = present.map(|one| (one.address, one)).collect();
    let row = |one: &BackendView| {
        let rate = rates.of_backend(&service.name, one.address);
        of_backend(one, counters.get(&one.address).copied(), rate)
    };
    service.backends.iter().map(row).collect()
}

fn of_backend(backend: &BackendView, counters: Option<&BackendStats>, rate: Rate) -> Row {
    let is_standby = backend.backup && backend.unusable.is_none();
    let is_marked = backend.health != Health::Up || !backend.in_ring && !is_standby;
    let state = standing(backend);
    let check = last_check(backend);
    let said = format!("{state}; {check}");
    // That in effect differs during a slow start.
    let weight = if backend.in_ring { backend.effective_weight } else { backend.weight.into() };
    Row {
        key: backend.address.to_string(),
        cells: vec![
            mark(is_marked),
            Cell::address(backend.address),
            Cell::text(word(&backend.health)),
            Cell::number(seconds_since(backend), age(backend.since)),
            Cell::text(state),
            Cell::count(backend.active_connections),
            Cell::rate(rate.connections),
            Cell::rate(rate.packets),
            Cell::rate(rate.bits),
            handshake(counters.map(|one| &one.handshakes)),
            Cell::number(weight, format!("{weight}")),
            Cell::count(backend.connections_total),
            Cell::note(check),
        ],
        detail: detail(&backend.address.to_string(), &said),
        figures: counters.map(handshakes_and_resets).unwrap_or_default(),
        is_marked,
    }
}

/// The median, as on the backend's status page. Backends without one come last.
fn handshake(counted: Option<&Handshakes>) -> Cell {
    match counted.and_then(|counted| counted.quantile(0.5)) {
        Some(median) => Cell::number(median.as_secs_f64(), latency(median)),
        None => Cell::number(-1.0, "-"),
    }
}

fn handshakes_and_resets(counters: &BackendStats) -> String {
    let BackendStats {
        handshakes, retransmitted_syns, resets_by_client, resets_by_backend, ..
    } = counters;
    let [median, slow] = [0.5, 0.99].map(|share| handshakes.quantile(share).map(latency));
    let measured = match (median, slow) {
        (Some(median), Some(slow)) => format!("median {median}, 99 % {slow}"),
        _ => "not measured yet".to_owned(),
    };
    format!(
        "handshakes: {measured}; SYNs sent again: {retransmitted_syns}; \
         resets: {resets_by_client} by clients, {resets_by_backend} by the backend"
    )
}

fn seconds_since(backend: &BackendView) -> f64 {
    jiff::Timestamp::now().duration_since(backend.since).as_secs_f64()
}

pub(super) fn of_connections(connections: &[Connection]) -> Vec<Row> {
    connections.iter().map(of_connection).collect()
}

fn of_connection(connection: &Connection) -> Row {
    let Connection {
        client, vip, source, backend, state, age_seconds, idle_seconds, account, ..
    } = connection;
    let account = account.as_ref();
    Row {
        key: format!("{client} {vip}"),
        cells: vec![
            mark(false),
            Cell::address(*client),
            Cell::address(*source),
            Cell::text(word(state)),
            Cell::number(*age_seconds, span(*age_seconds)),
            Cell::number(*idle_seconds, span(*idle_seconds)),
            account.map_or_else(Cell::empty, |of| Cell::sum(of.bytes())),
            account.map_or_else(Cell::empty, |of| Cell::sum(of.packets())),
        ],
        detail: format!("{client} to {vip}, as {source} to {backend}"),
        figures: account.map(traffic).unwrap_or_default(),
        is_marked: false,
    }
}

fn traffic(account: &Account) -> String {
    let Account { packets_in, packets_out, bytes_in, bytes_out } = account;
    let said = |packets, bytes| format!("{}, {}", count(packets, "packet"), count(bytes, "byte"));
    format!("in: {}; out: {}", said(*packets_in, *bytes_in), said(*packets_out, *bytes_out))
}

pub(super) fn of_warnings(warnings: &[String]) -> Vec<Row> {
    (1..).zip(warnings).map(|(nth, warning)| of_warning(nth, warning)).collect()
}

fn of_warning(nth: u64, warning: &str) -> Row {
    Row {
        key: warning.to_owned(),
        cells: vec![Cell::count(nth), Cell::text(warning)],
        detail: String::new(),
        figures: String::new(),
        is_marked: false,
    }
}

fn mark(is_marked: bool) -> Cell {
    Cell::number(f64::from(u8::from(is_marked)), if is_marked { MARK } else { "" })
}

fn detail(name: &str, said: &str) -> String {
    printable::line(&format!("{name}: {}", if said.is_empty() { "no warnings" } else { said }))
        .into_owned()
}
