//! Where the user is, and more of the selected row than it has room for.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Position, Rect},
    text::{Line, Text},
};
use textwrap::wrap;

use super::{
    super::{
        columns::Level,
        rows::Row,
        state::{MOST_CONNECTIONS, State},
    },
    Style,
};

pub(super) const HEIGHT: u16 = 5;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, style: Style) {
    let [line, detail, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
            .areas(area);
    frame.render_widget(Line::styled(path(state), style.heading(false)), line);
    let selected = state.rows.get(state.place().selected);
    if let Some(row) = selected {
        frame.render_widget(about(row, detail), detail);
    }
    if state.is_typing {
        write_filter(frame, keys, &state.place().filter);
    } else {
        frame.render_widget(Line::raw(hints(state)), keys);
    }
}

/// More of a row than its cells have room for. A long detail leaves a line to the figures.
fn about(row: &Row, area: Rect) -> Text<'_> {
    let width = usize::from(area.width);
    let figures = wrap(&row.figures, width).into_iter().filter(|line| !line.is_empty());
    let figures: Vec<_> = figures.collect();
    let room = usize::from(area.height).saturating_sub(figures.len().min(1));
    wrap(&row.detail, width).into_iter().take(room).chain(figures).collect()
}

/// The tables down to this one, its order and its filter.
fn path(state: &State) -> String {
    let mut path = if state.level == Level::Warnings { "warnings" } else { "services" }.to_owned();
    if let (Level::Backends | Level::Connections, Some(service)) = (state.level, &state.service) {
        path = format!("{path} > {service}");
    }
    if let (Level::Connections, Some(backend)) = (state.level, state.backend) {
        path = format!("{path} > {backend}");
    }
    let place = state.place();
    let column = &state.level.columns()[place.sort];
    let sense = if place.is_descending() { "descending" } else { "ascending" };
    let mut said = format!("{path}  by {}, {sense}", column.title);
    if let Some(what) = cut(state) {
        said = format!("{said}, the {what} {MOST_CONNECTIONS} only");
    }
    if !place.filter.is_empty() {
        said = format!("{said}  with \"{}\": {}", place.filter, state.rows.len());
    }
    said
}

/// Returns which connections are shown, if there are more.
fn cut(state: &State) -> Option<&'static str> {
    use lb_model::connections::Order;

    if state.level != Level::Connections {
        return None;
    }
    let found = state.connections()?;
    let has_more = found.list.len() as u64 >= MOST_CONNECTIONS;
    has_more.then_some(match (found.filter.sort, found.filter.reverse) {
        (Some(Order::Age), true) => "newest",
        (Some(Order::Age), false) => "oldest",
        (Some(Order::Bytes), true) => "smallest",
        (Some(Order::Bytes), false) => "largest",
        (_, true) => "busiest",
        (_, false) => "most idle",
    })
}

fn hints(state: &State) -> &'static str {
    if state.shows_help {
        return "any key: go on";
    }
    match state.level {
        Level::Services => {
            "Enter backends  / filter  < > sort  w warnings  p pause  ? help  q quit"
        }
        Level::Backends => {
            "Enter connections  Esc back  / filter  < > sort  w warnings  ? help  q quit"
        }
        Level::Connections => "Esc back  / filter  < > sort  r reverse  w warnings  ? help  q quit",
        Level::Warnings => "Esc back  / filter  r reverse  p pause  ? help  q quit",
    }
}

fn write_filter(frame: &mut Frame<'_>, area: Rect, filter: &str) {
    let line = Line::raw(format!("/{filter}"));
    let end = u16::try_from(line.width()).unwrap_or(u16::MAX);
    let x = area.x.saturating_add(end).min(area.right().saturating_sub(1));
    frame.render_widget(line, area);
    frame.set_cursor_position(Position { x, y: area.y });
}
