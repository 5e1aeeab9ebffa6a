//! The keys.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    text::Text,
};

use super::super::keys::HELP;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect) {
    let lines = HELP.iter().map(|(keys, meaning)| format!("{keys:<24} {meaning}"));
    let lines: Vec<_> = lines.collect();
    frame.render_widget(Text::from(lines.join("\n")), area);
    frame.set_cursor_position(Position { x: area.x, y: area.y });
}
