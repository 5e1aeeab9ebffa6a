//! The balancer as a whole.

use lb_host::printable;
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Text},
};

use super::{
    super::{
        figures::{percent, short},
        state::State,
    },
    Style,
};
use crate::cli::{age, count};

pub(super) const HEIGHT: u16 = 4;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State, style: Style) {
    let lines = [
        Line::styled(balancer(state), Style::bold()),
        Line::raw(connections(state)),
        Line::raw(frames(state)),
        Line::styled(trouble(state), style.warning()),
    ];
    frame.render_widget(Text::from_iter(lines), area);
}

fn balancer(state: &State) -> String {
    let status = &state.reading.status;
    let backends = format!(
        "{} of {} up, {} in use",
        status.backends_up,
        count(status.backends_total as u64, "backend"),
        status.backends_in_use
    );
    let every = format!("every {} s", state.interval.as_secs_f64());
    let pace = if state.is_paused { "PAUSED" } else { &every };
    let (version, running) = (&status.version, age(status.started));
    format!(
        "xdplb {version}, up {running}  {}, {backends}  {pace}",
        count(status.services as u64, "service")
    )
}

fn connections(state: &State) -> String {
    let flows = &state.reading.status.flows;
    let total = state.rates.total;
    format!(
        "active {}, {} new/s  packets {}/s  bits {}/s  table {} of {}",
        flows.active,
        short(total.connections),
        short(total.packets),
        short(total.bits),
        percent(flows.entries, flows.capacity),
        flows.capacity,
    )
}

/// Frames by verdict, those that the host gets included.
fn frames(state: &State) -> String {
    let rates = state.rates.verdicts.iter();
    let rates: Vec<_> =
        rates.map(|(verdict, rate)| format!("{verdict} {}/s", short(*rate))).collect();
    if rates.is_empty() { String::new() } else { format!("frames {}", rates.join(", ")) }
}

/// Why the figures are old, or the first warning.
fn trouble(state: &State) -> String {
    let warnings = &state.reading.status.warnings;
    let age = state.reading.at.elapsed().as_secs();
    let said = match (&state.trouble, &warnings[..]) {
        (Some(trouble), _) => format!("! figures of {age} s ago, trying again: {trouble}"),
        (None, []) if state.reading.at.elapsed() > state.patience() => {
            format!("! figures of {age} s ago: the daemon is busy")
        }
        (None, []) => String::new(),
        (None, [only]) => format!("! {only}"),
        (None, [first, ..]) => format!("! {}: {first}", count(warnings.len() as u64, "warning")),
    };
    printable::line(&said).into_owned()
}
