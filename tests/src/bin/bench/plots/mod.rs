//! The report as figures.

mod bars;
mod figures;
mod lines;
mod style;

use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::prelude::*;

use self::{bars::Panel, lines::Line};
use crate::report::Report;

/// A figure, or the text shown instead of it.
struct Figure {
    file: &'static str,
    title: &'static str,
    subtitle: &'static str,
    /// Content in rows.
    content: Vec<Vec<Content>>,
}

enum Content {
    Bars(Panel),
    Lines { axes: [&'static str; 2], lines: Vec<Line> },
}

/// Pixels.
const HEADLINE: u32 = 96;
const LINES: u32 = 360;
const GAP: i32 = 24;

/// Draws all figures that have data, and reports the others.
pub fn draw(report: &Report, directory: &Path) -> Result<()> {
    for figure in figures::all(report) {
        let Figure { file, .. } = figure;
        if figure.is_empty() {
            eprintln!("No {file}: nothing of it was measured");
            continue;
        }
        figure.draw(&directory.join(file)).with_context(|| format!("cannot draw {file}"))?;
    }
    Ok(())
}

impl Figure {
    fn is_empty(&self) -> bool {
        self.content.iter().all(|row| all_empty(row))
    }

    fn draw(&self, path: &Path) -> Result<()> {
        let rows: Vec<_> = self.content.iter().filter(|row| !all_empty(row)).collect();
        let size = (style::WIDTH, HEADLINE + rows.iter().map(|row| height(row)).sum::<u32>());
        let paper = SVGBackend::new(path, size).into_drawing_area();
        let mut rest = style::headed(&paper, self.title, self.subtitle)?;
        for row in rows {
            let (canvas, below) = rest.split_vertically(height(row));
            let top = row.iter().map(Content::top).fold(0.0, f64::max);
            for (content, part) in row.iter().zip(canvas.split_evenly((1, row.len()))) {
                content.draw(&part.margin(0, 0, 0, GAP), top)?;
            }
            rest = below;
        }
        paper.present()?;
        Ok(())
    }
}

fn all_empty(row: &[Content]) -> bool {
    row.iter().all(Content::is_empty)
}

fn height(row: &[Content]) -> u32 {
    row.iter().map(Content::height).max().unwrap_or_default()
}

impl Content {
    fn is_empty(&self) -> bool {
        match self {
            Self::Bars(panel) => panel.bars.is_empty(),
            Self::Lines { lines, .. } => lines.is_empty(),
        }
    }

    fn height(&self) -> u32 {
        match self {
            Self::Bars(panel) => panel.height(),
            Self::Lines { .. } => LINES,
        }
    }

    /// Returns the maximum of lines, whose scale is the same in a whole row.
    fn top(&self) -> f64 {
        match self {
            Self::Bars(_) => 0.0,
            Self::Lines { lines, .. } => lines.iter().map(Line::top).fold(0.0, f64::max),
        }
    }

    fn draw(&self, canvas: &style::Canvas<'_>, top: f64) -> Result<()> {
        match self {
            Self::Bars(panel) => panel.draw(canvas),
            Self::Lines { axes, lines } => lines::draw(canvas, *axes, lines, top),
        }
    }
}
