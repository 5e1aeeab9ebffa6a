//! The table.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Position, Rect},
    text::Text,
    widgets::{Cell, Row, Table, TableState},
};
use textwrap::wrap;

use super::{
    super::{
        cells,
        columns::{Column, Kind, Level},
        rows,
        state::State,
    },
    Style,
};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, style: Style) {
    let place = state.place();
    let columns = that_fit(place.columns, area.width);
    let headings = columns.iter().enumerate().map(|(nth, column)| {
        Cell::from(aligned(column.title, column)).style(style.heading(nth == place.sort))
    });
    let rest = width_of_last(columns, area.width);
    let shown: Vec<_> = state.rows.iter().map(|row| texts(row, columns, rest)).collect();
    let heights: Vec<_> = shown.iter().map(|texts| height(texts)).collect();
    let rows = state.rows.iter().zip(shown).zip(&heights).map(|((row, texts), height)| {
        Row::new(texts).height(*height).style(style.row(row.is_marked))
    });
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
    let above = heights.get(selection.offset()..place.selected).unwrap_or_default();
    let y = above.iter().fold(area.y.saturating_add(1), |y, height| y.saturating_add(*height));
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
        if is_last && column.kind != Kind::Number {
            Constraint::Min(column.width)
        } else {
            Constraint::Length(column.width)
        }
    };
    columns.iter().enumerate().map(width).collect()
}

fn width_of_last(columns: &[Column], width: u16) -> u16 {
    let before = &columns[..columns.len().saturating_sub(1)];
    width.saturating_sub(before.iter().map(|column| column.width + 1).sum())
}

/// Returns the texts of a row's cells, of which the last has this width.
fn texts<'a>(row: &'a rows::Row, columns: &[Column], width: u16) -> Vec<Text<'a>> {
    let text = |(cell, column): (&'a cells::Cell, &Column)| {
        if column.kind == Kind::Prose {
            wrap(&cell.text, usize::from(width)).into_iter().collect()
        } else {
            aligned(&cell.text, column)
        }
    };
    row.cells.iter().zip(columns).map(text).collect()
}

fn height(texts: &[Text<'_>]) -> u16 {
    let height = texts.iter().map(Text::height).max().unwrap_or(1);
    u16::try_from(height).unwrap_or(u16::MAX)
}

fn aligned<'a>(text: &'a str, column: &Column) -> Text<'a> {
    let side = if column.kind == Kind::Number { Alignment::Right } else { Alignment::Left };
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
        Level::Warnings => "no warnings".to_owned(),
    }
}
