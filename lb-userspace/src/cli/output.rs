//! Printing.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

/// A table without lines, with these headings.
pub(super) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(headings.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Aligns these columns of numbers to the right.
pub(super) fn align_numbers(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

pub(super) fn print_table(table: &Table) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

pub(super) fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

pub(super) fn print_line(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// A line of standard error. Whoever has stopped reading it is owed the exit code all the same.
pub(super) fn print_error(line: impl Display) {
    writeln!(io::stderr().lock(), "{line}").ok();
}
