//! Drawing. Everything that colours say is said in words or marks, too, and all marks are ASCII.

mod footer;
mod header;
mod help;
mod style;
mod table;

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
};

pub(super) use self::style::Style;
use super::state::State;

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, style: Style) {
    let [head, middle, foot] = Layout::vertical([
        Constraint::Length(header::HEIGHT),
        Constraint::Fill(1),
        Constraint::Length(footer::HEIGHT),
    ])
    .areas(frame.area());
    // Without the headings.
    state.page = usize::from(middle.height.saturating_sub(1)).max(1);
    header::draw(frame, head, state, style);
    if state.shows_help {
        help::draw(frame, middle);
    } else {
        table::draw(frame, middle, state, style);
    }
    footer::draw(frame, foot, state, style);
}

#[cfg(test)]
mod tests;
