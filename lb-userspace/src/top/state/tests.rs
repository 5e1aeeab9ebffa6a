use std::time::Instant;

use lb_model::connections::Order;

use super::{
    super::{
        figures::short,
        samples::{self, accounted, backend, list_connections, obey, reading, service},
    },
    *,
};

fn keys(state: &State) -> Vec<&str> {
    state.rows.iter().map(|row| row.key.as_str()).collect()
}

fn cells(state: &State, row: usize) -> Vec<&str> {
    state.rows[row].cells.iter().map(|cell| cell.text.as_str()).collect()
}

#[test]
fn services_have_rates_and_marks() {
    let state = samples::state();
    assert_eq!(keys(&state), ["api", "web"]);
    let api = ["", "api", "203.0.113.10:80", "1/1", "20", "20", "200", "160k"];
    let web = ["!", "web", "203.0.113.10:80", "1/2", "14", "10", "100", "80k"];
    assert_eq!((&cells(&state, 0)[..8], &cells(&state, 1)[..8]), (&api[..], &web[..]));
    assert_eq!(short(state.rates.total.connections), "30");
    assert_eq!(short(state.rates.verdicts[0].1), "100");
}

#[test]
fn rates_need_two_readings_and_never_fall_below_zero() {
    let (first, second) = (Instant::now(), Duration::from_secs(1));
    let mut state = State::new(
        reading(vec![service("web", vec![backend(1, "up", 9)])], Duration::ZERO, first),
        second,
    );
    assert_eq!(cells(&state, 0)[5], "0");
    let restarted = vec![service("web", vec![backend(1, "up", 2), backend(2, "up", 7)])];
    state.take(Ok(reading(restarted, second, first)));
    assert_eq!(cells(&state, 0)[5], "7", "a new backend counts from zero");
}

#[test]
fn a_removed_backend_counts_for_its_service_and_in_total() {
    let (first, second) = (Instant::now(), Duration::from_secs(1));
    let both = |total| vec![service("web", vec![backend(1, "up", total), backend(2, "up", total)])];
    let mut state = State::new(reading(both(10), Duration::ZERO, first), second);
    let mut later = reading(both(15), second, first);
    later.services[0].backends.pop();
    later.stats.services[0].backends[1].removed_left = Some(1);
    state.take(Ok(later));
    assert_eq!((cells(&state, 0)[5], short(state.rates.total.connections)), ("10", "10".into()));
    let mut gone = reading(both(16), 2 * second, first);
    gone.services.clear();
    gone.stats.services[0].removed = true;
    gone.stats.services[0].backends.iter_mut().for_each(|one| one.removed_left = Some(1));
    state.take(Ok(gone));
    assert_eq!(short(state.rates.total.connections), "2");
}

#[test]
fn any_column_sorts_in_both_directions() {
    let mut state = samples::state();
    obey(&mut state, &[Command::NextColumn; 3]);
    assert_eq!((state.place().sort, &keys(&state)[..]), (4, &["api", "web"][..]));
    obey(&mut state, &[Command::Reverse]);
    assert_eq!(keys(&state), ["web", "api"]);
    obey(&mut state, &[Command::PreviousColumn; 4]);
    assert_eq!((state.place().sort, &keys(&state)[..]), (0, &["api", "web"][..]));
    obey(&mut state, &[Command::PreviousColumn]);
    assert_eq!(state.place().sort, Level::Services.columns().len() - 1);
}

#[test]
fn addresses_are_sorted_as_numbers() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Last, Command::Open]);
    assert_eq!(keys(&state), ["10.0.0.2:80", "10.0.0.12:80"]);
}

#[test]
fn the_selected_row_stays_selected_wherever_it_goes() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Down]);
    assert_eq!(state.rows[state.place().selected].key, "web");
    obey(&mut state, &[Command::Reverse]);
    assert_eq!((state.place().selected, state.rows[0].key.as_str()), (0, "web"));
    obey(&mut state, &[Command::PageDown, Command::Down]);
    assert_eq!(state.rows[state.place().selected].key, "api");
    state.take(Ok(reading(Vec::new(), Duration::ZERO, Instant::now())));
    obey(&mut state, &[Command::Last, Command::Up, Command::Open]);
    assert_eq!((state.place().selected, state.level), (0, Level::Services));
}

#[test]
fn a_filter_is_typed_and_given_up() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Filter, Command::Type('W'), Command::Type('x')]);
    assert_eq!((keys(&state).len(), state.is_typing), (0, true));
    obey(&mut state, &[Command::Erase, Command::Accept]);
    assert_eq!((&keys(&state)[..], state.is_typing), (&["web"][..], false));
    obey(&mut state, &[Command::Cancel]);
    assert_eq!(keys(&state).len(), 2);
}

#[test]
fn a_backend_leads_to_its_busiest_connections_and_back() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Last, Command::Open]);
    assert_eq!(state.wanted().connections, None);
    obey(&mut state, &[Command::Down, Command::Open]);
    let wanted = state.wanted().connections.expect("connections");
    assert_eq!(wanted.service.as_deref(), Some("web"));
    assert_eq!(wanted.backend, Some("10.0.0.12:80".parse().expect("an address")));
    assert_eq!((wanted.sort, wanted.reverse), (Some(Order::Idle), true));
    assert_eq!(wanted.limit, Some(MOST_CONNECTIONS));
    let ports: Vec<_> = keys(&state).iter().map(|key| key.split([':', ' ']).nth(1)).collect();
    assert_eq!(ports, [Some("1"), Some("3"), Some("2")]);
    obey(&mut state, &[Command::PreviousColumn, Command::Reverse]);
    let wanted = state.wanted().connections.expect("connections");
    assert_eq!((wanted.sort, wanted.reverse), (Some(Order::Age), false), "the oldest");
    obey(&mut state, &[Command::Back, Command::Cancel]);
    assert_eq!((state.level, state.wanted().connections), (Level::Services, None));
}

#[test]
fn accounted_connections_are_sorted_by_bytes_and_others_have_none() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Last, Command::Open, Command::Down, Command::Open]);
    assert_eq!(state.place().columns.last().map(|one| one.title), Some("IDLE"));
    obey(&mut state, &[Command::NextColumn]);
    assert_eq!(state.place().sort, 0, "there are no more columns");
    obey(&mut state, &[Command::PreviousColumn]);
    let accounts = vec![accounted(1, 20), accounted(2, 3_000), accounted(3, 100)];
    list_connections(&mut state, accounts.clone());
    assert_eq!(state.place().columns.last().map(|one| one.title), Some("PACKETS"));
    assert_eq!(state.obey(Command::NextColumn), Next::GoOn);
    let wanted = state.wanted().connections.expect("connections");
    assert_eq!((wanted.sort, wanted.reverse), (Some(Order::Bytes), false), "the largest");
    list_connections(&mut state, accounts);
    let bytes: Vec<_> = (0..3).map(|row| cells(&state, row)[6].to_owned()).collect();
    assert_eq!(bytes, ["3.0k", "100", "20"]);
    assert_eq!(cells(&state, 0)[7], "5");
    assert_eq!(state.rows[0].figures, "in: 2 packets, 1 byte; out: 3 packets, 2999 bytes");
    list_connections(&mut state, vec![samples::connection(1, 1.0)]);
    assert_eq!(state.place().columns.last().map(|one| one.title), Some("IDLE"));
    obey(&mut state, &[Command::PreviousColumn]);
    assert_eq!(state.place().sort, 5);
}

#[test]
fn backends_are_sorted_by_their_handshakes() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Last, Command::Open]);
    obey(&mut state, &[Command::NextColumn; 8]);
    assert_eq!(state.place().columns[state.place().sort].title, "HANDSHAKE");
    let shown: Vec<_> = (0..2).map(|row| cells(&state, row)[9].to_owned()).collect();
    assert_eq!((&shown[..], &keys(&state)[0]), (&["96us".into(), "-".into()][..], &"10.0.0.12:80"));
    let figures = ["median 96us, 99 % 127us", "not measured yet"].map(|measured| {
        format!(
            "handshakes: {measured}; SYNs sent again: 12; resets: 3 by clients, 4 by the backend"
        )
    });
    assert_eq!([0, 1].map(|row| &state.rows[row].figures), [&figures[0], &figures[1]]);
    state.reading.stats.services[0].removed = true;
    obey(&mut state, &[Command::Reverse]);
    assert_eq!((cells(&state, 0)[9], &*state.rows[0].figures), ("-", ""), "not counted");
}

#[test]
fn warnings_are_listed_in_their_order_and_left_for_the_table_before() {
    let mut state = samples::state();
    state.reading.status.warnings =
        ["web: no backend", "the disk is full"].map(str::to_owned).into();
    obey(&mut state, &[Command::Last, Command::Open, Command::Warnings]);
    assert_eq!(cells(&state, 0), ["1", "web: no backend"]);
    assert_eq!(cells(&state, 1), ["2", "the disk is full"]);
    obey(&mut state, &[Command::Filter, Command::Type('D'), Command::Type('I'), Command::Accept]);
    assert_eq!(keys(&state), ["the disk is full"]);
    obey(&mut state, &[Command::Open, Command::Cancel, Command::Cancel]);
    assert_eq!(state.level, Level::Backends);
    obey(&mut state, &[Command::Warnings, Command::Warnings]);
    assert_eq!((state.level, state.rows.len()), (Level::Backends, 2));
}

#[test]
fn connections_of_another_backend_are_not_shown() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Last, Command::Open, Command::Down, Command::Open]);
    assert_eq!(state.rows.len(), 3);
    obey(&mut state, &[Command::Back, Command::Up]);
    assert_eq!(state.obey(Command::Open), Next::GoOn);
    assert!(state.connections().is_none() && state.rows.is_empty());
}

#[test]
fn a_pause_keeps_the_figures_and_an_error_is_kept_until_it_is_over() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Pause]);
    assert!(state.wanted().is_paused);
    state.take(Ok(reading(Vec::new(), Duration::ZERO, Instant::now())));
    assert_eq!(state.rows.len(), 2);
    obey(&mut state, &[Command::Pause]);
    state.take(Err("no daemon".to_owned()));
    assert_eq!((state.trouble.as_deref(), state.rows.len()), (Some("no daemon"), 2));
    state.take(Ok(reading(Vec::new(), Duration::ZERO, Instant::now())));
    assert_eq!((state.trouble.as_deref(), state.rows.len()), (None, 0));
}

#[test]
fn the_interval_stays_within_its_limits() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Slower; 9]);
    assert_eq!(state.wanted().interval, LONGEST);
    obey(&mut state, &[Command::Faster; 20]);
    assert_eq!(state.wanted().interval, SHORTEST);
}

#[test]
fn any_key_leaves_the_help() {
    let mut state = samples::state();
    obey(&mut state, &[Command::Help, Command::Down]);
    assert_eq!((state.shows_help, state.place().selected), (false, 0));
    assert_eq!(state.obey(Command::Stop), Next::Stop);
    assert_eq!(state.obey(Command::Quit), Next::Quit);
}
