//! The table.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Position, Rect},
    text::Text,
    widgets::{Cell, Row, Table, TableState},
};

use super::{
    super::{
        columns::{Column, Level},
        rows,
        state::State,
    },
    Style,
};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, style: Style) {
    let columns = that_fit(state.level.columns(), area.width);
    let place = state.place();
    let headings = columns.iter().enumerate().map(|(nth, column)| {
        Cell::from(aligned(column.title, column)).style(style.heading(nth == place.sort))
    });
    let rows = state.rows.iter().map(|row| shown(row, columns).style(style.row(row.is_marked)));
    let table = Table::new(rows, widths(columns))
        .header(Row::new(headings))
        .row_highlight_style(Style::selected());
    let mut selection = TableState::new().with_selected(place.selected);
    frame.render_stateful_widget(table, area, &mut selection);
    if state.rows.is_empty() {
        let line = Rect { y: area.y + 1, height: 1, ..area }.intersection(area);
        frame.render_widget(Text::raw(nothing(state)), line);
    }
    // On the selected row, for those who read by a cursor.
    let row = place.selected.saturating_sub(selection.offset());
    let y = area.y.saturating_add(u16::try_from(row).unwrap_or(u16::MAX)).saturating_add(1);
    frame.set_cursor_position(Position { x: area.x, y: y.min(area.bottom().saturating_sub(1)) });
}

/// Returns the first columns, as many as fit, but one at least.
fn that_fit(columns: &[Column], width: u16) -> &[Column] {
    let mut taken = 0;
    let fits = |column: &&Column| {
        taken += column.width + 1;
        taken <= width + 1
    };
    let count = columns.iter().take_while(fits).count();
    &columns[..count.max(1)]
}

/// The last column takes the rest if it is a text.
fn widths(columns: &[Column]) -> Vec<Constraint> {
    let width = |(nth, column): (usize, &Column)| {
        let is_last = nth + 1 == columns.len();
        if is_last && !column.is_number {
            Constraint::Min(column.width)
        } else {
            Constraint::Length(column.width)
        }
    };
    columns.iter().enumerate().map(width).collect()
}

fn shown<'a>(row: &'a rows::Row, columns: &[Column]) -> Row<'a> {
    let cells = row.cells.iter().zip(columns);
    Row::new(cells.map(|(cell, column)| Cell::from(aligned(&cell.text, column))))
}

fn aligned<'a>(text: &'a str, column: &Column) -> Text<'a> {
    let side = if column.is_number { Alignment::Right } else { Alignment::Left };
    Text::raw(text).alignment(side)
}

fn nothing(state: &State) -> String {
    let has_filter = !state.place().filter.is_empty();
    let name = state.service.as_deref().unwrap_or_default();
    match state.level {
        _ if has_filter => "nothing has this text".to_owned(),
        Level::Services => "no services: add one by `xdplb service add`".to_owned(),
        Level::Backends if state.shown_service().is_none() => format!("there is no service {name}"),
        Level::Backends => "no backends: add one by `xdplb backend add`".to_owned(),
        Level::Connections if state.connections().is_none() => "reading ...".to_owned(),
        Level::Connections => "no connections".to_owned(),
    }
}
