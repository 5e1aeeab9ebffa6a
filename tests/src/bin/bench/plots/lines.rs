//! Lines over a logarithmic size axis, each with its name at its end.

use anyhow::Result;
use plotters::{prelude::*, style::text_anchor::HPos};

use super::style::{self, Canvas, GRID, INK, MUTED};

pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<Point>,
}

pub(super) struct Point {
    pub(super) size: f64,
    pub(super) median: f64,
    pub(super) min: f64,
}

impl Line {
    pub(super) fn top(&self) -> f64 {
        self.points.iter().map(|point| point.median).fold(0.0, f64::max)
    }
}

/// Minimum distance between names in pixels.
const LINE_HEIGHT: i32 = 18;
/// Width of a name in pixels.
const NAME_WIDTH: i32 = 120;

/// Draws the lines on a scale from 0 to `top`, with titled axes.
pub(super) fn draw(canvas: &Canvas<'_>, [x, y]: [&str; 2], lines: &[Line], top: f64) -> Result<()> {
    let points = lines.iter().flat_map(|line| &line.points);
    let mut sizes: Vec<f64> = points.map(|point| point.size).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else { return Ok(()) };
    let width = (first.log2() - 0.3)..(last.log2() + 0.3);
    let mut chart = ChartBuilder::on(canvas)
        .set_label_area_size(LabelAreaPosition::Left, 64)
        .set_label_area_size(LabelAreaPosition::Bottom, 46)
        .margin_right(NAME_WIDTH)
        .margin_bottom(18)
        .build_cartesian_2d(width, 0.0..top * 1.08)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(MUTED)
        .label_style(style::small(MUTED))
        .axis_desc_style(style::small(INK))
        .x_desc(x)
        .y_desc(y)
        .x_labels(0)
        .y_label_formatter(&|value| style::short(*value))
        .draw()?;
    let (left, top) = canvas.get_base_pixel();
    for size in &sizes {
        let (x, y) = chart.backend_coord(&(size.log2(), 0.0));
        let label = Text::new(style::short(*size), (x - left, y - top + 8), style::below());
        canvas.draw(&label)?;
    }
    let mut names = Vec::new();
    for line in lines {
        let colour = style::colour(&line.name);
        let stroke = colour.stroke_width(2);
        let at = |point: &Point| (point.size.log2(), point.median);
        chart.draw_series(LineSeries::new(line.points.iter().map(at), stroke))?;
        chart.draw_series(
            line.points.iter().map(|point| Circle::new(at(point), 4, colour.filled())),
        )?;
        chart.draw_series(line.points.iter().map(|point| {
            PathElement::new([(point.size.log2(), point.min), at(point)], colour.stroke_width(1))
        }))?;
        if let Some(end) = line.points.last() {
            names.push((chart.backend_coord(&at(end)), &line.name));
        }
    }
    write_names(canvas, names)
}

/// Writes each name at the end of its line, or as close as the others allow.
fn write_names(canvas: &Canvas<'_>, mut names: Vec<((i32, i32), &String)>) -> Result<()> {
    names.sort_by_key(|((_, y), _)| -y);
    let (left, top) = canvas.get_base_pixel();
    let mut lowest = i32::MAX;
    for ((x, y), name) in names {
        let y = y.min(lowest);
        lowest = y - LINE_HEIGHT;
        let style = style::beside(style::colour(name), HPos::Left);
        canvas.draw(&Text::new(name.clone(), (x - left + 12, y - top), style))?;
    }
    Ok(())
}
