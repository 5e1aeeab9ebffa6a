//! What is looked at, and how. Nothing here knows of a terminal or a socket.

use std::{net::SocketAddr, time::Duration};

use lb_model::{
    connections::{Filter, Order},
    views::ServiceView,
};

use super::{
    columns::Level,
    keys::Command,
    place::Place,
    poll::{Connections, Reading, Wanted},
    rates::Rates,
    rows::{self, Row},
};

/// Limits of the interval, which keys double and halve.
pub const SHORTEST: Duration = Duration::from_millis(250);
pub const LONGEST: Duration = Duration::from_mins(1);

/// Time for an answer, after which the user is told that there is none.
const LATE: Duration = Duration::from_secs(2);

/// Number of connections in a table: the first by its order.
pub(super) const MOST_CONNECTIONS: u64 = 500;

/// What the caller has to do after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    Quit,
    Stop,
}

pub(super) struct State {
    pub(super) reading: Reading,
    pub(super) rates: Rates,
    /// Why there is no newer reading.
    pub(super) trouble: Option<String>,
    pub(super) interval: Duration,
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    /// True while the filter is being written.
    pub(super) is_typing: bool,
    pub(super) level: Level,
    /// Table that the warnings were opened from.
    beneath: Level,
    pub(super) service: Option<String>,
    pub(super) backend: Option<SocketAddr>,
    /// Rows of the present table, filtered and sorted.
    pub(super) rows: Vec<Row>,
    /// Number of rows that the terminal has room for.
    pub(super) page: usize,
    places: [Place; 4],
}

impl State {
    pub(super) fn new(reading: Reading, interval: Duration) -> Self {
        let levels = [Level::Services, Level::Backends, Level::Connections, Level::Warnings];
        let mut state = Self {
            reading,
            rates: Rates::default(),
            trouble: None,
            interval,
            is_paused: false,
            shows_help: false,
            is_typing: false,
            level: Level::Services,
            beneath: Level::Services,
            service: None,
            backend: None,
            rows: Vec::new(),
            page: 1,
            places: levels.map(Place::of),
        };
        state.update();
        state
    }

    pub(super) fn place(&self) -> &Place {
        &self.places[self.level as usize]
    }

    fn place_mut(&mut self) -> &mut Place {
        &mut self.places[self.level as usize]
    }

    /// Returns the service whose backends or connections are shown.
    pub(super) fn shown_service(&self) -> Option<&ServiceView> {
        let name = self.service.as_ref()?;
        self.reading.services.iter().find(|service| service.name == *name)
    }

    /// Returns the age of a reading that tells that the next one is late.
    pub(super) fn patience(&self) -> Duration {
        if self.is_paused { Duration::MAX } else { self.interval + LATE }
    }

    /// Returns what should be read.
    pub(super) fn wanted(&self) -> Wanted {
        let connections = (self.level == Level::Connections).then(|| self.filter());
        Wanted { interval: self.interval, is_paused: self.is_paused, connections }
    }

    /// Returns the filter of the connections of the shown backend.
    fn filter(&self) -> Filter {
        let place = &self.places[Level::Connections as usize];
        let (order, reverse) = match Level::Connections.columns()[place.sort].order {
            Some(order) => (order, !place.is_descending()),
            None => (Order::Idle, true),
        };
        Filter {
            service: self.service.clone(),
            backend: self.backend,
            sort: Some(order),
            reverse,
            limit: Some(MOST_CONNECTIONS),
            ..Filter::default()
        }
    }

    /// Returns the connections of the shown backend, unless they are not read yet.
    pub(super) fn connections(&self) -> Option<&Connections> {
        let filter = self.filter();
        self.reading.connections.as_ref().filter(|one| {
            (&one.filter.service, one.filter.backend) == (&filter.service, filter.backend)
        })
    }

    pub(super) fn take(&mut self, reading: Result<Reading, String>) {
        match reading {
            // While it is paused, connections are read once.
            Ok(reading) if self.is_paused => self.reading.connections = reading.connections,
            Ok(reading) => {
                self.rates = Rates::between(&self.reading, &reading);
                (self.reading, self.trouble) = (reading, None);
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
        self.update();
    }

    pub(super) fn obey(&mut self, command: Command) -> Next {
        match command {
            Command::Quit => return Next::Quit,
            Command::Stop => return Next::Stop,
            _ if self.shows_help => self.shows_help = false,
            Command::Help => self.shows_help = true,
            Command::Pause => self.is_paused = !self.is_paused,
            Command::Slower => self.interval = (self.interval * 2).min(LONGEST.max(self.interval)),
            Command::Faster => self.interval = (self.interval / 2).max(SHORTEST.min(self.interval)),
            Command::Filter => self.is_typing = true,
            Command::Accept => self.is_typing = false,
            Command::Open => self.open(),
            Command::Warnings => self.show_warnings(),
            Command::Back => self.back(),
            Command::Cancel => self.cancel(),
            Command::Up => self.select(|selected, _| selected.saturating_sub(1)),
            Command::Down => self.select(|selected, _| selected + 1),
            Command::PageUp => self.select(usize::saturating_sub),
            Command::PageDown => self.select(|selected, page| selected + page),
            Command::First => self.select(|_, _| 0),
            Command::Last => self.select(|_, _| usize::MAX),
            Command::NextColumn
            | Command::PreviousColumn
            | Command::Reverse
            | Command::Type(_)
            | Command::Erase => self.arrange(command),
        }
        Next::GoOn
    }

    fn arrange(&mut self, command: Command) {
        self.place_mut().obey(command);
        self.update();
    }

    fn select(&mut self, from: impl FnOnce(usize, usize) -> usize) {
        let (page, rows) = (self.page, &self.rows);
        let place = &mut self.places[self.level as usize];
        place.select(from(place.selected, page), rows);
    }

    fn open(&mut self) {
        let Some(key) = self.rows.get(self.place().selected).map(|row| row.key.clone()) else {
            return;
        };
        match self.level {
            Level::Services => (self.level, self.service) = (Level::Backends, Some(key)),
            Level::Backends => {
                self.backend = key.parse().ok();
                self.level = Level::Connections;
            }
            Level::Connections | Level::Warnings => return,
        }
        *self.place_mut() = Place::of(self.level);
        self.update();
    }

    fn back(&mut self) {
        self.level = match self.level {
            Level::Services | Level::Backends => Level::Services,
            Level::Connections => Level::Backends,
            Level::Warnings => self.beneath,
        };
        self.update();
    }

    fn show_warnings(&mut self) {
        if self.level == Level::Warnings {
            return self.back();
        }
        (self.beneath, self.level) = (self.level, Level::Warnings);
        *self.place_mut() = Place::of(self.level);
        self.update();
    }

    fn cancel(&mut self) {
        let place = self.place_mut();
        if place.filter.is_empty() && !self.is_typing {
            return self.back();
        }
        self.place_mut().filter.clear();
        self.is_typing = false;
        self.update();
    }

    /// Makes the rows anew, and keeps the selected one selected.
    fn update(&mut self) {
        if let Some(first) = self.connections().and_then(|found| found.list.first()) {
            let has_accounts = first.account.is_some();
            self.places[Level::Connections as usize].show_accounts(has_accounts);
        }
        let reading = &self.reading;
        let rows = match self.level {
            Level::Services => rows::of_services(&reading.services, &self.rates),
            Level::Backends => self
                .shown_service()
                .map(|service| {
                    rows::of_backends(service, reading.counters(&service.name), &self.rates)
                })
                .unwrap_or_default(),
            Level::Connections => self
                .connections()
                .map(|found| rows::of_connections(&found.list))
                .unwrap_or_default(),
            Level::Warnings => rows::of_warnings(&reading.status.warnings),
        };
        self.rows = self.places[self.level as usize].arranged(rows);
    }
}

#[cfg(test)]
mod tests;
