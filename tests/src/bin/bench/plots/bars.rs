//! Horizontal bars, each with its name and its number.

use anyhow::Result;
use plotters::{prelude::*, style::text_anchor::HPos};

use super::style::{self, Canvas, INK, MUTED};

pub(super) struct Panel {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
    /// Lower bound for the end of the scale: the whole, for shares.
    pub(super) whole: f64,
}

pub(super) struct Bar {
    pub(super) name: &'static str,
    pub(super) value: f64,
    /// Confidence interval of the value.
    pub(super) range: Option<[f64; 2]>,
    /// A remark about the value.
    pub(super) note: &'static str,
}

/// Pixels of a bar and the gap below it, of a panel's title, of names, and of numbers.
const BAR: i32 = 16;
const STEP: i32 = 26;
const TITLE: i32 = 34;
const NAME: i32 = 150;
const NUMBER: i32 = 100;

impl Panel {
    /// Returns its height in pixels.
    pub(super) fn height(&self) -> u32 {
        u32::try_from(self.bars.len()).unwrap_or_default() * STEP.unsigned_abs()
            + 2 * TITLE.unsigned_abs()
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>) -> Result<()> {
        canvas.draw(&Text::new(self.title.clone(), (0, 0), style::heading()))?;
        let scale = self.scale(canvas.dim_in_pixel().0);
        for (place, bar) in (0..).zip(&self.bars) {
            bar.draw(canvas, TITLE + place * STEP, &scale)?;
        }
        Ok(())
    }

    /// Returns the function from values to positions.
    fn scale(&self, width: u32) -> impl Fn(f64) -> i32 {
        let ends = || self.bars.iter().flat_map(Bar::ends);
        let (least, most) = (ends().fold(0.0, f64::min), ends().fold(self.whole, f64::max));
        let room = f64::from(width) - f64::from(NAME + NUMBER);
        let per_unit = if most > least { room / (most - least) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "a pixel on the paper")]
        move |value| NAME + ((value - least) * per_unit).round() as i32
    }
}

impl Bar {
    fn ends(&self) -> [f64; 3] {
        let [low, high] = self.range.unwrap_or([self.value; 2]);
        [self.value, low, high]
    }

    fn draw(&self, canvas: &Canvas<'_>, top: i32, scale: &impl Fn(f64) -> i32) -> Result<()> {
        let middle = top + BAR / 2;
        let (start, end) = (scale(0.0), scale(self.value));
        let name = style::beside(INK, HPos::Right);
        canvas.draw(&Text::new(self.name, (NAME - 12, middle), name))?;
        let corners = [(start.min(end), top), (start.max(end), top + BAR)];
        canvas.draw(&Rectangle::new(corners, style::colour(self.name).filled()))?;
        let mut rightmost = start.max(end);
        // A single round has no range.
        if let Some([low, high]) = self.range.filter(|[low, high]| low < high) {
            let (low, high) = (scale(low), scale(high));
            for stroke in [
                [(low, middle), (high, middle)],
                [(low, middle - 4), (low, middle + 4)],
                [(high, middle - 4), (high, middle + 4)],
            ] {
                canvas.draw(&PathElement::new(stroke, INK.stroke_width(1)))?;
            }
            rightmost = rightmost.max(high);
        }
        let number = style::beside(MUTED, HPos::Left);
        canvas.draw(&Text::new(
            format!("{}{}", style::short(self.value), self.note),
            (rightmost + 8, middle),
            number,
        ))?;
        Ok(())
    }
}
