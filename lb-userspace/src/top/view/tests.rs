use std::time::Duration;

use lb_client::ClientError;
use ratatui::{Terminal, backend::TestBackend, style::Modifier};

use super::{
    super::{
        keys::Command,
        samples::{self, accounted, list_connections, obey},
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
    assert_eq!(lines[19], "services  by SERVICE, ascending");
    assert_eq!(lines[20], "api: no warnings");
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
    assert_eq!(shown[19], "services > web  by BACKEND, ascending");
    assert_eq!(shown[20], "10.0.0.2:80: not in use; not checked yet");
    let figures = [
        "handshakes: not measured yet; SYNs sent again: 12; resets: 3 by clients, 4 by",
        "the backend",
    ];
    assert_eq!(shown[21..23], figures);
    obey(&mut state, &[Command::Down, Command::Open]);
    let shown = lines(&mut state, 80, 24);
    let first = "  198.51.100.1:1        10.0.0.1:1            established   1m40s    0.5s";
    assert_eq!(shown[5], first);
    assert_eq!(shown[19], "services > web > 10.0.0.12:80  by IDLE, ascending");
}

#[test]
fn what_keeps_the_figures_from_being_new_is_said() {
    let mut state = samples::state();
    let late = ClientError::Late {
        socket: "/run/x".into(),
        what: "answer",
        patience: Duration::from_secs(1),
    };
    state.take(Err(late.to_string()));
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
    let mut state = samples::state();
    obey(&mut state, &[Command::Last, Command::Open, Command::Down]);
    let shown = lines(&mut state, 132, 24);
    assert!(shown[4].contains("BIT/s HANDSHAKE WEIGHT      TOTAL LAST CHECK"), "{shown:#?}");
    assert!(shown[6].contains("  80k      96us      4        200 not checked yet"), "{shown:#?}");
}

#[test]
fn bytes_of_connections_fit_into_80() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Last, Command::Open, Command::Down, Command::Open]);
    list_connections(&mut state, vec![accounted(1, 3_000)]);
    let shown = lines(&mut state, 80, 24);
    assert!(shown[4].ends_with("STATE           AGE    IDLE BYTES"), "{shown:#?}");
    assert!(shown[5].ends_with("established   1m40s    1.0s  3.0k"), "{shown:#?}");
    assert_eq!(shown[21], "in: 2 packets, 1 byte; out: 3 packets, 2999 bytes");
    assert!(lines(&mut state, 100, 24)[4].ends_with("BYTES PACKETS"));
}

#[test]
fn a_long_detail_leaves_room_for_the_figures() {
    let mut state = samples::state();
    let mut reading = state.reading.clone();
    reading.services[0].backends[1].detail = "a long story ".repeat(30);
    state.take(Ok(reading));
    obey(&mut state, &[Command::Last, Command::Open]);
    let shown = lines(&mut state, 80, 24);
    assert!(shown[21].starts_with("long story"), "{shown:#?}");
    assert!(shown[22].starts_with("handshakes: not measured yet"), "{shown:#?}");
}

#[test]
fn long_warnings_are_wrapped_and_scroll() {
    let mut state = samples::state();
    let mut reading = state.reading.clone();
    let warnings = (1..=9).map(|nth| format!("{nth} {}end", "is too long for a line ".repeat(6)));
    reading.status.warnings = warnings.collect();
    state.take(Ok(reading));
    obey(&mut state, &[Command::Warnings]);
    let shown = lines(&mut state, 80, 24);
    assert!(shown[3].starts_with("! 9 warnings: 1 is too long"), "{shown:#?}");
    assert_eq!(shown[4], "  # WARNING");
    assert!(shown[5].starts_with("  1 1 is too long for a line"), "{shown:#?}");
    assert!(shown[6].ends_with("end") && shown[7].starts_with("  2 2 is"), "{shown:#?}");
    assert_eq!(shown[19], "warnings  by #, ascending");
    obey(&mut state, &[Command::Last]);
    let mut terminal = drawn(&mut state, 80, 24);
    assert_eq!(terminal.get_cursor_position().expect("in memory"), (0, 17).into());
    let shown = lines(&mut state, 80, 24);
    assert!(shown[17].starts_with("  9 9 is") && shown[18].ends_with("end"), "{shown:#?}");
    for (width, height) in [(1, 1), (9, 12), (40, 10), (400, 200)] {
        drawn(&mut state, width, height);
    }
}
