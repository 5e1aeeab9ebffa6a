//! Printing. Nothing that is printed holds control characters, wherever it is from.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use crate::printable;

/// A table without lines around its cells.
pub(super) struct Rows(Table);

impl Rows {
    pub(super) fn add_row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.add_row(cells.into_iter().map(|cell| printable::line(cell.as_ref()).into_owned()));
    }
}

/// A table without lines, with these headings.
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

/// A line of standard error. Whoever has stopped reading it is owed the exit code all the same.
pub(super) fn print_error(line: impl Display) {
    writeln!(io::stderr().lock(), "{}", printable::lines(&line.to_string())).ok();
}
