//! Common style of all plots.

use anyhow::Result;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Width in pixels of everything but headlines.
pub(super) const WIDTH: u32 = 960;

const FONT: &str = "DejaVu Sans, Helvetica, Arial, sans-serif";
const MARGIN: i32 = 24;

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const MUTED: RGBColor = RGBColor(0x66, 0x66, 0x66);
pub(super) const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
const PAPER: RGBColor = WHITE;

// Colour-blind safe palette: M. Okabe and K. Ito, "Color Universal Design".
const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const SKY: RGBColor = RGBColor(0x56, 0xb4, 0xe9);
const VERMILION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const GREY: RGBColor = RGBColor(0xa8, 0xa8, 0xa8);

/// Returns the colour of a path or program, the same in all plots.
pub(super) fn colour(name: &str) -> RGBColor {
    match name {
        "known" | "xdplb" => BLUE,
        "reply" | "redirect" | "xdplb_generic" => SKY,
        "new" => VERMILION,
        "not_ours" => GREEN,
        _ => GREY,
    }
}

pub(super) fn small(colour: RGBColor) -> TextStyle<'static> {
    text(13, colour)
}

pub(super) fn heading() -> TextStyle<'static> {
    text(15, INK)
}

fn text(size: i32, colour: RGBColor) -> TextStyle<'static> {
    (FONT, size).into_font().color(&colour)
}

/// Returns the style of small text beside a point.
pub(super) fn beside(colour: RGBColor, side: HPos) -> TextStyle<'static> {
    small(colour).pos(Pos::new(side, VPos::Center))
}

/// Returns the style of small text below a point.
pub(super) fn below() -> TextStyle<'static> {
    small(MUTED).pos(Pos::new(HPos::Center, VPos::Top))
}

/// Writes a title, and a subtitle of at most two lines; returns the rest of the canvas.
pub(super) fn headed<'a>(paper: &Canvas<'a>, title: &str, subtitle: &str) -> Result<Canvas<'a>> {
    paper.fill(&PAPER)?;
    paper.draw(&Text::new(title.to_owned(), (MARGIN, 20), text(20, INK)))?;
    for (place, line) in (0..).zip(subtitle.lines()) {
        let corner = (MARGIN, 48 + place * 18);
        paper.draw(&Text::new(line.to_owned(), corner, small(MUTED)))?;
    }
    Ok(paper.margin(96, 0, MARGIN, MARGIN))
}

/// Formats a number with three digits, and a letter for thousands and more.
pub(super) fn short(number: f64) -> String {
    let (scaled, letter) = match number.abs() {
        size if size >= 1e9 => (number / 1e9, " G"),
        size if size >= 1e6 => (number / 1e6, " M"),
        size if size >= 1e4 => (number / 1e3, " k"),
        _ => (number, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 100.0 || (scaled - scaled.round()).abs() < 1e-9 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{letter}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_short() {
        let short = [1.0, 0.456, 45.67, 1024.0, 131_072.0, 1_048_576.0, 11.4e9].map(super::short);
        assert_eq!(short, ["1", "0.46", "45.7", "1024", "131 k", "1.05 M", "11.4 G"]);
    }
}
