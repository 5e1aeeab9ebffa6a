//! Printing. Control characters are escaped in all output.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use jiff::Timestamp;
use serde::Serialize;

use lb_host::printable;

/// A table without lines around its cells.
pub(super) struct Rows(Table);

impl Rows {
    pub(super) fn add_row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.add_row(cells.into_iter().map(|cell| printable::line(cell.as_ref()).into_owned()));
    }
}

/// Returns a table without lines, with these headings.
pub(super) fn table(headings: &[&str]) -> Rows {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(headings.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    Rows(table)
}

/// Aligns these columns of numbers to the right.
pub(super) fn align_numbers(table: &mut Rows, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.0.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

pub(super) fn print_table(table: &Rows) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in table.0.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

pub(super) fn print_json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(io::stdout().lock(), "{}", printable::json(&text))
}

pub(super) fn print_line(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", printable::lines(line))
}

/// Formats a number and its noun, as in `1 backend`.
pub(crate) fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let s = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{s}")
}

/// Formats the time since a moment in two units at most, as in `2h 5m`.
pub(crate) fn age(moment: Timestamp) -> String {
    let since = Timestamp::now().duration_since(moment);
    let seconds = u64::try_from(since.as_secs()).unwrap_or(0);
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let Some(largest) = units.iter().position(|(_, unit)| seconds >= *unit) else {
        return "0s".to_owned();
    };
    let mut rest = seconds;
    let mut words = Vec::new();
    for (name, unit) in units.iter().skip(largest).take(2) {
        if rest >= *unit {
            words.push(format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    words.join(" ")
}

/// Prints a line on standard error. There is no other place to report that this fails, and the exit
/// code stays that of the error.
pub(super) fn print_error(line: impl Display) {
    writeln!(io::stderr().lock(), "{}", printable::lines(&line.to_string())).ok();
}

/// Prints a document on standard error, like [`print_error`].
pub(super) fn print_json_error(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    writeln!(io::stderr().lock(), "{}", printable::json(&text)).ok();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ages_have_two_units_at_most() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 1s"),
            (3_600, "1h"),
            (90_061, "1d 1h"),
            (86_460, "1d"),
        ] {
            // Slightly more, as the test itself takes time.
            let gone = Duration::from_millis(seconds * 1_000 + 300);
            assert_eq!(age(Timestamp::now() - gone), expected);
        }
        assert_eq!(age(Timestamp::now() + Duration::from_hours(1)), "0s");
    }
}
