//! The line on a terminal. Without colour, and in ASCII, as any terminal shows it.

use std::time::Duration;

use console::{Term, is_dumb};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{interruption, narrow::Narrow};

const TICK: Duration = Duration::from_millis(100);
/// Maximum number of times that it is drawn in a second.
const HERTZ: u8 = 20;
const TICKS: &str = r"-\|/ ";
const WAITING: &str = "{spinner} {elapsed} {wide_msg}";
const PART: &str = "{spinner} {elapsed} [{bar:20}] {wide_msg}";

/// Starts the line, if standard error is a terminal that can move its cursor.
pub(super) fn start() -> Option<ProgressBar> {
    let terminal = Term::stderr();
    if !terminal.is_term() || is_dumb() {
        return None;
    }
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(Narrow(terminal)), HERTZ);
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(style(WAITING));
    interruption::clear_before(&bar).ok()?;
    bar.enable_steady_tick(TICK);
    Some(bar)
}

pub(super) fn show_part(bar: &ProgressBar, done: u64, all: u64) {
    if bar.length() != Some(all) {
        bar.set_style(style(PART));
        bar.set_length(all);
    }
    bar.set_position(done);
}

fn style(template: &str) -> ProgressStyle {
    match ProgressStyle::with_template(template) {
        Ok(style) => style.tick_chars(TICKS).progress_chars("=> "),
        Err(error) => unreachable!("the template {template} is wrong: {error}"),
    }
}
