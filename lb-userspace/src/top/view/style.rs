//! Colours, if the terminal and its user want any.

use std::env;

use ratatui::style::{self, Color, Modifier};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    has_colours: bool,
}

impl Style {
    /// See <https://no-color.org>.
    pub(crate) fn of_environment() -> Self {
        let variable = |name| env::var(name).unwrap_or_default();
        let is_monochrome = |terminal: &str| terminal.starts_with("vt") || terminal.ends_with("-m");
        let has_colours = variable("NO_COLOR").is_empty() && !is_monochrome(&variable("TERM"));
        Self { has_colours }
    }

    pub(super) fn bold() -> style::Style {
        style::Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn selected() -> style::Style {
        style::Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Headings; that of the column that the table is sorted by is underlined.
    pub(super) fn heading(self, is_sorted: bool) -> style::Style {
        let style = self.coloured(Color::Cyan).patch(Self::bold());
        if is_sorted { style.add_modifier(Modifier::UNDERLINED) } else { style }
    }

    pub(super) fn warning(self) -> style::Style {
        self.coloured(Color::Yellow).patch(Self::bold())
    }

    pub(super) fn row(self, is_marked: bool) -> style::Style {
        if is_marked { self.coloured(Color::Yellow) } else { style::Style::new() }
    }

    fn coloured(self, colour: Color) -> style::Style {
        if self.has_colours { style::Style::new().fg(colour) } else { style::Style::new() }
    }
}
