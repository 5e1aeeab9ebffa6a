//! Where the user is in a table, and how it is arranged.

use super::{
    columns::{Column, Level},
    keys::Command,
    rows::Row,
};

#[derive(Clone, Debug)]
pub(super) struct Place {
    level: Level,
    /// Columns that there are.
    pub(super) columns: &'static [Column],
    /// Column that the table is sorted by.
    pub(super) sort: usize,
    pub(super) is_reversed: bool,
    /// Text that rows must have.
    pub(super) filter: String,
    /// Number of the selected row.
    pub(super) selected: usize,
    /// Its key, once the user has selected it: then it stays selected wherever it goes.
    key: Option<String>,
}

impl Place {
    pub(super) fn of(level: Level) -> Self {
        Self {
            level,
            columns: level.columns_with(false),
            sort: level.first_sort(),
            is_reversed: false,
            filter: String::new(),
            selected: 0,
            key: None,
        }
    }

    /// Selects a row, or the last one if there are not so many.
    pub(super) fn select(&mut self, wanted: usize, rows: &[Row]) {
        self.selected = wanted.min(rows.len().saturating_sub(1));
        self.key = rows.get(self.selected).map(|row| row.key.clone());
    }

    pub(super) fn show_accounts(&mut self, has_accounts: bool) {
        self.columns = self.level.columns_with(has_accounts);
    }

    pub(super) fn obey(&mut self, command: Command) {
        let columns = self.columns.len();
        match command {
            Command::NextColumn => self.sort = (self.sort + 1) % columns,
            Command::PreviousColumn => self.sort = (self.sort + columns - 1) % columns,
            Command::Reverse => self.is_reversed = !self.is_reversed,
            Command::Type(c) => self.filter.push(c),
            Command::Erase => drop(self.filter.pop()),
            _ => {}
        }
    }

    /// Returns true if the greatest come first.
    pub(super) fn is_descending(&self) -> bool {
        self.level.columns()[self.sort].is_descending != self.is_reversed
    }

    /// Returns the rows that have the filter's text, sorted.
    pub(super) fn arranged(&mut self, mut rows: Vec<Row>) -> Vec<Row> {
        let text = self.filter.to_lowercase();
        rows.retain(|row| row.has(&text));
        let is_descending = self.is_descending();
        rows.sort_by(|one, other| {
            let order = one.cells[self.sort].compare(&other.cells[self.sort]);
            if is_descending { order.reverse() } else { order }
        });
        let known = self.key.as_ref().and_then(|key| rows.iter().position(|row| row.key == *key));
        let last = rows.len().saturating_sub(1);
        self.selected = known.unwrap_or(self.selected).min(last);
        rows
    }
}
