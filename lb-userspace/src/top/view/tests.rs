use lb_client::ClientError;
use ratatui::{Terminal, backend::TestBackend, style::Modifier};

use super::{
    super::{
        keys::Command,
        samples::{self, obey},
    },
    *,
};

fn drawn(state: &mut State, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("in memory");
    terminal.draw(|frame| draw(frame, state, Style::default())).expect("in memory");
    terminal
}

fn lines(state: &mut State, width: u16, height: u16) -> Vec<String> {
    let terminal = drawn(state, width, height);
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

#[test]
fn services_fit_into_80_by_24() {
    let lines = lines(&mut samples::state(), 80, 24);
    assert!(lines[0].starts_with("xdplb 1.2.3, up "), "{lines:#?}");
    assert!(
        lines[0].ends_with("2 services, 3 of 4 backends up, 3 in use  every 1 s"),
        "{lines:#?}"
    );
    let shown = [
        "active 105, 30 new/s  packets 300/s  bits 240k/s  table 12.5 % of 1000",
        "frames tx 100/s, drop 0/s",
        "! the disk is full",
        "! SERVICE        VIP                        UP   ACTIVE  NEW/s  PKT/s  BIT/s",
        "  api            203.0.113.10:80           1/1       20     20    200   160k",
        "! web            203.0.113.10:80           1/2       14     10    100    80k",
    ];
    assert_eq!(lines[1..7], shown);
    assert_eq!(lines[20], "services  by SERVICE, ascending");
    assert_eq!(lines[21], "api: no warnings");
    assert!(lines[23].contains("? help  q quit"), "{lines:#?}");
}

#[test]
fn the_selection_is_seen_without_colours() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Down]);
    let terminal = drawn(&mut state, 80, 24);
    let buffer = terminal.backend().buffer();
    let is_reversed = |y| buffer[(2, y)].modifier.contains(Modifier::REVERSED);
    assert_eq!([5, 6].map(is_reversed), [false, true]);
    let colours = buffer.content().iter().map(|cell| (cell.fg, cell.bg));
    assert!(colours.into_iter().all(|pair| pair == Default::default()));
}

#[test]
fn a_backend_shows_why_it_is_down_and_its_connections() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Last, Command::Open]);
    let shown = lines(&mut state, 80, 24);
    assert!(shown[5].starts_with("! 10.0.0.2:80           down"), "{shown:#?}");
    assert!(shown[6].starts_with("  10.0.0.12:80          up"), "{shown:#?}");
    assert_eq!(shown[20], "services > web  by BACKEND, ascending");
    assert_eq!(shown[21], "10.0.0.2:80: not in use; not checked yet");
    obey(&mut state, &[Command::Down, Command::Open]);
    let shown = lines(&mut state, 80, 24);
    let first = "  198.51.100.1:1        10.0.0.1:1            established    1m40s     0.5s";
    assert_eq!(shown[5], first);
    assert_eq!(shown[20], "services > web > 10.0.0.12:80  by IDLE, ascending");
}

#[test]
fn what_keeps_the_figures_from_being_new_is_said() {
    let mut state = samples::state();
    state.take(Err(ClientError::Busy("/run/x".into()).to_string()));
    let shown = lines(&mut state, 200, 24);
    assert!(shown[3].contains("trying again: the daemon at /run/x is busy"), "{shown:#?}");
}

#[test]
fn hostile_names_command_no_terminal() {
    let mut state = samples::state();
    let mut reading = state.reading.clone();
    reading.services[0].name = "\x1b[2J\u{202e}日本".to_owned();
    reading.status.warnings = vec!["\x1b]0;owned\x07".to_owned()];
    state.take(Ok(reading));
    let shown = lines(&mut state, 200, 24).join("\n");
    assert!(!shown.contains(|c: char| c != '\n' && c.is_control()), "{shown}");
    assert!(shown.contains("\\u{1b}]0;owned") && shown.contains("日"), "{shown}");
}

#[test]
fn every_size_can_be_drawn() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Filter, Command::Type('日')]);
    for (width, height) in [(1, 1), (2, 9), (9, 2), (20, 5), (79, 8), (400, 200)] {
        drawn(&mut state, width, height);
        obey(&mut state, &[Command::Accept, Command::Help]);
        drawn(&mut state, width, height);
        obey(&mut state, &[Command::Help, Command::Filter]);
    }
}

#[test]
fn a_wide_terminal_has_more_columns() {
    let shown = lines(&mut samples::state(), 132, 24);
    assert!(shown[4].contains("TOTAL SCHEDULER         WARNINGS"), "{shown:#?}");
}
