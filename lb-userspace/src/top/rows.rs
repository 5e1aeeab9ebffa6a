//! Rows of the tables, whose cells can be sorted.

use std::{cmp::Ordering, net::SocketAddr};

use lb_config::word;
use lb_host::printable;
use lb_model::{
    Health,
    connections::Connection,
    views::{BackendView, ServiceView},
};

use super::{
    figures::short,
    rates::{Rate, Rates},
};
use crate::cli::{age, last_check, span, standing};

/// Marks a row that somebody should look at.
const MARK: &str = "!";

pub(super) struct Row {
    /// What stays the same from reading to reading.
    pub(super) key: String,
    pub(super) cells: Vec<Cell>,
    /// Everything that is worth saying, which may be too long for the row.
    pub(super) detail: String,
    pub(super) is_marked: bool,
}

pub(super) struct Cell {
    pub(super) text: String,
    value: Value,
}

/// What a cell is sorted by.
enum Value {
    Number(f64),
    Text(String),
    Address(SocketAddr),
    /// A text that changes all the time, which no filter looks at.
    Note(String),
}

impl Cell {
    fn text(text: impl Into<String>) -> Self {
        let text = printable::line(&text.into()).into_owned();
        Self { value: Value::Text(text.to_lowercase()), text }
    }

    fn note(text: impl Into<String>) -> Self {
        let text = printable::line(&text.into()).into_owned();
        Self { value: Value::Note(text.to_lowercase()), text }
    }

    fn address(address: SocketAddr) -> Self {
        Self { text: address.to_string(), value: Value::Address(address) }
    }

    fn number(number: f64, text: impl Into<String>) -> Self {
        Self { text: text.into(), value: Value::Number(number) }
    }

    #[expect(clippy::cast_precision_loss, reason = "sorting needs no more")]
    fn count(count: u64) -> Self {
        Self::number(count as f64, count.to_string())
    }

    fn rate(rate: f64) -> Self {
        Self::number(rate, short(rate))
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (&self.value, &other.value) {
            (Value::Number(one), Value::Number(other)) => one.total_cmp(other),
            (Value::Text(one), Value::Text(other)) | (Value::Note(one), Value::Note(other)) => {
                one.cmp(other)
            }
            (Value::Address(one), Value::Address(other)) => one.cmp(other),
            _ => Ordering::Equal,
        }
    }
}

impl Row {
    /// Returns true if a word or an address of it has this text, which is in lower case.
    pub(super) fn has(&self, text: &str) -> bool {
        self.cells.iter().any(|cell| match &cell.value {
            Value::Text(own) => own.contains(text),
            Value::Address(_) => cell.text.contains(text),
            Value::Number(_) | Value::Note(_) => false,
        })
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
    let is_marked = !service.warnings.is_empty() || up < backends.len();
    let said = service.warnings.join("; ");
    Row {
        key: service.name.clone(),
        cells: vec![
            mark(is_marked),
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
        is_marked,
    }
}

pub(super) fn of_backends(service: &ServiceView, rates: &Rates) -> Vec<Row> {
    let rate = |one: &BackendView| rates.of_backend(&service.name, one.address);
    service.backends.iter().map(|one| of_backend(one, rate(one))).collect()
}

fn of_backend(backend: &BackendView, rate: Rate) -> Row {
    let is_standby = backend.backup && backend.unusable.is_none();
    let is_marked = backend.health != Health::Up || !backend.in_ring && !is_standby;
    let state = standing(backend);
    let check = last_check(backend);
    let said = format!("{state}; {check}");
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
            Cell::number(backend.effective_weight, format!("{}", backend.effective_weight)),
            Cell::count(backend.connections_total),
            Cell::note(check),
        ],
        detail: detail(&backend.address.to_string(), &said),
        is_marked,
    }
}

fn seconds_since(backend: &BackendView) -> f64 {
    jiff::Timestamp::now().duration_since(backend.since).as_secs_f64()
}

pub(super) fn of_connections(connections: &[Connection]) -> Vec<Row> {
    connections.iter().map(of_connection).collect()
}

fn of_connection(connection: &Connection) -> Row {
    let Connection { client, vip, source, backend, state, age_seconds, idle_seconds, .. } =
        connection;
    Row {
        key: format!("{client} {vip}"),
        cells: vec![
            mark(false),
            Cell::address(*client),
            Cell::address(*source),
            Cell::text(word(state)),
            Cell::number(*age_seconds, span(*age_seconds)),
            Cell::number(*idle_seconds, span(*idle_seconds)),
        ],
        detail: format!("{client} to {vip}, as {source} to {backend}"),
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
