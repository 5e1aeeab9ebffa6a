use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, LazyLock},
};

use clap::ValueEnum as _;
use lb_common::{
    backend::Backend,
    client_hops::NO_SLOT,
    ended::{Ended, How},
    flow::{Direction, FlowKey, flags_seen, ticks},
    mapped,
    table::{
        Opening, Seed, SharedBackend, SharedBucket, SharedTable, buckets_for, open, peek, refuse,
        set_flags,
    },
    unmapped,
};

use lb_model::connections::{ClientCount, Connection, ConnectionState, Counts, Filter, Order};

use super::{Directory, Killed, Search, Swept, Wanted};

const OPENED: u32 = ticks::from_nanos(10_000_000_000);
const NOW: u32 = ticks::from_nanos(70_000_000_000);
const HALF_OPEN: u16 = 0;
const ESTABLISHED: u16 = flags_seen::SHAKEN | flags_seen::PROVEN;

/// Backends by id, the first of which is none.
static BACKENDS: LazyLock<Vec<SharedBackend>> = LazyLock::new(|| {
    let backend = |id: u8| Backend {
        address: mapped([10, 0, 0, 10 + id]),
        port: [31, 144],
        vip: mapped([203, 0, 113, 10]),
        vip_port: [0, 80],
        ..Backend::default()
    };
    (0..3).map(|id| SharedBackend::new(&backend(id))).collect()
});

/// Connections that alternate between backends 1 (of the service `web`) and 2 (of none).
fn table(connections: u16) -> Vec<SharedBucket> {
    let buckets: Vec<_> =
        (0..buckets_for(connections.into())).map(|_| SharedBucket::default()).collect();
    let table = seeded(&buckets);
    for number in 0..connections {
        let [client, backend] = [number % 4, number % 2 + 1].map(|n| n.to_be_bytes()[1]);
        let port = (1_024 + number).to_be_bytes();
        let inside = &FlowKey::tcp([192, 0, 2, client], port, [203, 0, 113, 10], [0, 80]);
        let outside = FlowKey::tcp([10, 0, 0, 1], port, [10, 0, 0, 10 + backend], [31, 144]);
        let seen = if number % 10 == 0 { HALF_OPEN } else { ESTABLISHED };
        let opening =
            Opening { inside, hop: NO_SLOT, backend: backend.into(), seen, number: 0, now: OPENED };
        open(table, &opening, &outside).expect("room");
    }
    buckets
}

fn seeded(buckets: &[SharedBucket]) -> SharedTable<'_> {
    SharedTable { buckets, backends: &BACKENDS, seed: Seed::of_number(1) }
}

fn search<'a>(
    buckets: &'a [SharedBucket],
    directory: &'a Directory,
    filter: &'a Filter,
) -> Search<'a> {
    static SWEPT: LazyLock<Swept> = LazyLock::new(Swept::default);
    let (table, swept) = (seeded(buckets), &*SWEPT);
    Search { table, accounts: None, directory, now: NOW, filter, swept }
}

fn directory() -> Directory {
    HashMap::from([(1, "web".to_owned())])
}

fn listed(buckets: &[SharedBucket], filter: &Filter) -> Vec<Connection> {
    let mut found = Vec::new();
    let told = search(buckets, &directory(), filter).for_each(|connection| {
        found.push(connection);
        ControlFlow::Continue(())
    });
    assert!(told.is_continue());
    found
}

#[test]
fn each_connection_is_told_once_and_whole() {
    let buckets = table(100);
    let found = listed(&buckets, &Filter::default());
    assert_eq!(found.len(), 100);
    let first = found.iter().find(|c| c.client.port() == 1_025).expect("told");
    let expected = Connection {
        service: None,
        client: "192.0.2.1:1025".parse().unwrap(),
        vip: "203.0.113.10:80".parse().unwrap(),
        source: "10.0.0.1:1025".parse().unwrap(),
        backend: "10.0.0.12:8080".parse().unwrap(),
        state: ConnectionState::Established,
        age_seconds: 60.0,
        idle_seconds: 60.0,
        account: None,
    };
    let about = |seconds: f64| seconds.round();
    assert_eq!((about(first.age_seconds), about(first.idle_seconds)), (60.0, 60.0));
    assert_eq!(
        *first,
        Connection { age_seconds: first.age_seconds, idle_seconds: first.idle_seconds, ..expected }
    );
}

#[test]
fn filters_are_joined_by_and() {
    let buckets = table(100);
    let count = |query: &str| {
        let filter: Filter = serde_urlencoded::from_str(query).expect(query);
        assert_eq!(
            serde_urlencoded::from_str(&serde_urlencoded::to_string(&filter).unwrap()),
            Ok(filter.clone())
        );
        let found = listed(&buckets, &filter);
        let mut expected = Counts::default();
        for connection in &found {
            expected.count(connection.state);
        }
        assert_eq!(search(&buckets, &directory(), &filter).count(), expected, "{query}");
        found.len()
    };
    assert_eq!(count(""), 100);
    assert_eq!(count("service=web"), 50);
    assert_eq!(count("service=none"), 0);
    assert_eq!(count("backend=10.0.0.12:8080"), 50);
    assert_eq!(count("client=192.0.2.1"), 25);
    assert_eq!(count("client=192.0.2.0/31"), 50);
    assert_eq!(count("client=192.0.2.1:1025"), 1);
    assert_eq!(count("state=half-open"), 10);
    assert_eq!(count("state=half-open,established"), 100);
    assert_eq!(count("state=closed"), 0);
    assert_eq!(count("idle_over=59s"), 100);
    assert_eq!(count("idle_over=61s"), 0);
    assert_eq!(count("limit=7"), 7);
    assert_eq!(count("service=web&client=192.0.2.0&state=established&limit=1000"), 20);
}

/// Opens connections of which each is a second older than the one before.
fn of_all_ages(connections: u16) -> Vec<SharedBucket> {
    let buckets: Vec<_> =
        (0..buckets_for(connections.into())).map(|_| SharedBucket::default()).collect();
    for number in 0..connections {
        let port = (1_024 + number).to_be_bytes();
        let inside = &FlowKey::tcp([192, 0, 2, 1], port, [203, 0, 113, 10], [0, 80]);
        let outside = FlowKey::tcp([10, 0, 0, 1], port, [10, 0, 0, 11], [31, 144]);
        let now = NOW - ticks::from_nanos(u64::from(number) * 1_000_000_000);
        let opening =
            Opening { inside, hop: NO_SLOT, backend: 1, seen: ESTABLISHED, number: 0, now };
        open(seeded(&buckets), &opening, &outside).expect("room");
    }
    buckets
}

#[test]
fn only_the_first_of_an_order_are_kept() {
    let buckets = of_all_ages(50);
    for order in [Order::Age, Order::Idle] {
        let first = |query: &str, limit| {
            let filter: Filter = serde_urlencoded::from_str(query).expect(query);
            let found = search(&buckets, &directory(), &filter).first(order, limit);
            found.iter().map(|one| one.client.port() - 1_024).collect::<Vec<_>>()
        };
        assert_eq!(first("", 3), [49, 48, 47]);
        assert_eq!(first("reverse=true", 4), [0, 1, 2, 3]);
        assert_eq!(first("idle_over=46900ms", 100), [49, 48, 47]);
        assert_eq!(first("", 0), [0; 0]);
        assert_eq!(first("", 100).len(), 50);
    }
}

#[test]
fn clients_with_the_most_connections_come_first() {
    let buckets = table(102);
    let directory = directory();
    let clients = |query: &str, limit| {
        let filter: Filter = serde_urlencoded::from_str(query).expect(query);
        search(&buckets, &directory, &filter).clients(limit)
    };
    let found = clients("", 3);
    assert_eq!((found.clients, found.connections), (4, 102));
    let count = |last, connections| ClientCount { client: [192, 0, 2, last].into(), connections };
    assert_eq!(found.busiest, [count(0, 26), count(1, 26), count(2, 25)]);
    let found = clients("client=192.0.2.2/31&service=web", 10);
    assert_eq!((found.clients, found.connections), (1, 25));
    assert_eq!(found.busiest, [count(2, 25)]);
    assert_eq!(clients("", 0).busiest, []);
}

#[test]
fn only_what_matches_is_killed_and_nothing_that_is_closed() {
    let buckets = table(100);
    let table = seeded(&buckets);
    let kill = |query: &str| {
        let filter: Filter = serde_urlencoded::from_str(query).expect(query);
        let mut killed = Vec::new();
        search(&buckets, &directory(), &filter).kill(|one| {
            killed.push(one);
            ControlFlow::Continue(())
        });
        killed
    };
    let killed = kill("client=192.0.2.1:1025");
    let expected = Killed {
        client: "192.0.2.1:1025".parse().unwrap(),
        vip: "203.0.113.10:80".parse().unwrap(),
        source: "10.0.0.1:1025".parse().unwrap(),
        backend: "10.0.0.12:8080".parse().unwrap(),
        number: 0,
        ended: killed[0].ended,
    };
    assert_eq!(killed, [expected]);
    let ended = expected.ended.expect("told");
    let Ended { client, client_port, backend, backend_port, .. } = ended;
    assert_eq!((unmapped(client), client_port), ([192, 0, 2, 1], 1025_u16.to_be_bytes()));
    assert_eq!((unmapped(backend), backend_port), ([10, 0, 0, 12], 8080_u16.to_be_bytes()));
    assert_eq!(ended.how(), Some(How::Killed));
    assert_eq!(kill("client=192.0.2.1:1025"), []);
    assert_eq!(table.flows().count(), 2 * 99, "both entries have gone");
    assert_eq!(kill("service=web&limit=7").len(), 7);
    assert_eq!(kill("service=web").len(), 43);
    let left = listed(&buckets, &Filter::default());
    assert_eq!(left.len(), 49);
    assert!(left.iter().all(|one| one.service.is_none()), "{left:?}");
    for hit in table.flows() {
        set_flags(table, hit, flags_seen::FINS, 0);
    }
    assert_eq!(kill(""), []);
}

#[test]
fn what_is_not_understood_is_named() {
    let error = |query: &str| {
        let parsed = serde_urlencoded::from_str::<Filter>(query);
        parsed.expect_err(query).to_string()
    };
    assert!(error("client=nobody").contains("`nobody` is not a client: give ADDRESS"));
    let said = error("state=half-open,open");
    assert!(said.contains("`open` is not a state: give one or more of half-open, "), "{said}");
    for state in ConnectionState::value_variants() {
        let name = state.to_possible_value().expect("shown");
        assert!(said.contains(name.get_name()), "{said}: {state:?}");
    }
    assert!(error("servise=web").contains("unknown field `servise`"));
}

#[test]
fn a_listener_may_stop() {
    let buckets = table(100);
    let mut told = 0;
    let flow = search(&buckets, &directory(), &Filter::default()).for_each(|_| {
        told += 1;
        if told == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(flow.is_break());
    assert_eq!(told, 3);
}

#[test]
fn refused_connections_are_not_half_open() {
    let buckets = table(20);
    let table = seeded(&buckets);
    let refused = table
        .flows()
        .find(|hit| hit.direction() == Direction::ToBackend && hit.tag.flags_seen() == HALF_OPEN)
        .and_then(|hit| hit.snapshot(table))
        .expect("a half-open one");
    let flow = peek(table, &refused.key).expect("there");
    refuse(table, flow);
    let filter: Filter = serde_urlencoded::from_str("state=refused").expect("a state");
    let [only] = &listed(&buckets, &filter)[..] else { panic!("one is refused") };
    assert_eq!(only.state, ConnectionState::Refused);
    assert_eq!(only.client.port(), u16::from_be_bytes(refused.key.src_port()));
    let counts = search(&buckets, &directory(), &Filter::default()).count();
    assert_eq!((counts.refused, counts.half_open, counts.total), (1, 1, 20));
    for (seen, state) in [
        (flags_seen::BACKEND_RST, ConnectionState::Refused),
        (flags_seen::BACKEND_SYN | flags_seen::BACKEND_RST, ConnectionState::Refused),
        (ESTABLISHED | flags_seen::BACKEND_RST, ConnectionState::Closed),
        (flags_seen::REFUSED | flags_seen::QUARANTINED, ConnectionState::Closed),
    ] {
        assert_eq!(ConnectionState::of(seen), state, "{seen:#b}");
    }
}

#[test]
fn a_search_ends_when_nobody_waits_for_it() {
    let (buckets, directory, filter) = (table(100), directory(), Filter::default());
    let swept = Arc::new(Swept::default());
    let mut wanted = Some(Wanted::new(&swept));
    let search = Search { swept: &swept, ..search(&buckets, &directory, &filter) };
    let counted = search.candidates().inspect(|_| drop(wanted.take())).count();
    assert_eq!(counted, 1);
}
