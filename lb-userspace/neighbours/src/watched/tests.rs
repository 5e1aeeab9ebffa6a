use std::time::Duration;

use rtnetlink::{
    LinkUnspec,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        link::{LinkFlags, LinkLayerType},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    },
};

use super::{
    super::{
        hops::{ASK_AGAIN, CONFIRM_EVERY, PATIENCE},
        table::Mac,
    },
    *,
};

const ADDRESS: [u8; 4] = [10, 0, 0, 11];
const THEIRS: Mac = [2, 0, 0, 0, 0, 11];
const OURS: Mac = [2, 0, 0, 0, 0, 1];
const IFINDEX: u32 = 3;
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_known_neighbour_is_asked_whether_it_is_still_there_and_then_where_else() {
    let now = Instant::now();
    let mut watched = watched();
    let reachable = table(NeighbourState::Reachable);
    assert!(matches!(
        watched.news(&reachable)[..],
        [NetworkEvent::NextHop {
            resolution: Resolution::Resolved(NextHop { src_mac: OURS, dst_mac: THEIRS, .. }),
            ..
        }]
    ));
    assert_eq!(asked(&mut watched, &reachable, now), Some(Question::StillThere));
    assert_eq!(asked(&mut watched, &reachable, now + CONFIRM_EVERY / 2), None);
    let again = now + CONFIRM_EVERY;
    assert_eq!(asked(&mut watched, &reachable, again), Some(Question::StillThere));

    let probed = table(NeighbourState::Probe);
    assert_eq!(asked(&mut watched, &probed, again + MOMENT), None);
    let late = again + CONFIRM_EVERY;
    assert_eq!(asked(&mut watched, &probed, late), Some(Question::WhereElse));

    let failed = table(NeighbourState::Failed);
    watched.doubt_all();
    assert_eq!(asked(&mut watched, &failed, late + MOMENT), None);
    assert_eq!(watched.news(&failed), [], "it may answer yet");
}

#[test]
fn a_missing_neighbour_is_asked_for_every_second() {
    let now = Instant::now();
    let failed = table(NeighbourState::Failed);
    let mut watched = watched();
    assert_eq!(asked(&mut watched, &failed, now), Some(Question::Where));
    assert_eq!(asked(&mut watched, &failed, now + ASK_AGAIN / 2), None);
    assert_eq!(asked(&mut watched, &failed, now + ASK_AGAIN), Some(Question::Where));
    let incomplete = table(NeighbourState::Incomplete);
    assert_eq!(asked(&mut watched, &incomplete, now + 2 * ASK_AGAIN), None);
}

#[test]
fn a_neighbour_that_somebody_else_has_set_is_left_alone() {
    let mut watched = watched();
    assert_eq!(asked(&mut watched, &table(NeighbourState::Permanent), Instant::now()), None);
}

#[test]
fn a_neighbour_may_take_its_time_to_answer() {
    let now = Instant::now();
    let incomplete = table(NeighbourState::Incomplete);
    let mut watched = watched();
    for after in [Duration::ZERO, PATIENCE / 2] {
        watched.questions(&incomplete, now + after);
        assert_eq!(watched.news(&incomplete), []);
    }
    watched.questions(&incomplete, now + PATIENCE);
    let silent = "neighbour 10.0.0.11 on eth1 does not answer ARP".to_owned();
    assert_eq!(
        watched.news(&incomplete),
        [NetworkEvent::NextHop {
            address: ADDRESS.into(),
            resolution: Resolution::Unresolved(silent)
        }]
    );
    watched.questions(&incomplete, now + 2 * PATIENCE);
    assert_eq!(watched.news(&incomplete), [], "that is told already");
}

#[test]
fn who_is_watched_again_is_told_again_and_who_is_forgotten_is_not() {
    let reachable = table(NeighbourState::Reachable);
    let mut watched = watched();
    assert_eq!(watched.news(&reachable).len(), 1);
    watched.doubt_all();
    assert_eq!(watched.news(&reachable), []);
    assert!(!watched.watch(ADDRESS.into()));
    assert_eq!(watched.news(&reachable).len(), 1);
    watched.doubt_all();
    watched.forget(ADDRESS.into());
    assert_eq!(watched.news(&reachable), []);
    assert_eq!(watched.questions(&reachable, Instant::now()), []);
}

#[test]
fn only_routes_within_a_change_are_looked_up_and_not_at_once() {
    let mut watched = watched();
    for (net, expected) in [
        ("10.0.0.0/24", vec![IpAddr::from(ADDRESS)]),
        ("10.0.1.0/24", vec![]),
        ("0.0.0.0/0", vec![ADDRESS.into()]),
        ("::/0", vec![]),
    ] {
        watched.outdate_within(net.parse().expect("a network"));
        assert!(watched.take_outdated().is_empty(), "the kernel may not be done yet");
        assert_eq!(watched.take_outdated().into_iter().collect::<Vec<_>>(), expected, "{net}");
    }
}

/// Watches one address that is its own next hop.
fn watched() -> Watched {
    let mut watched = Watched::default();
    assert!(watched.watch(ADDRESS.into()));
    let route = Route { ifindex: IFINDEX, neighbour: ADDRESS.into(), source: [10, 0, 0, 1].into() };
    watched.set_route(ADDRESS.into(), Ok(route));
    watched
}

fn asked(watched: &mut Watched, table: &Table, now: Instant) -> Option<Question> {
    let mut questions = watched.questions(table, now);
    assert!(questions.len() <= 1);
    questions.pop().map(|(id, question)| {
        assert_eq!(id, (IFINDEX, ADDRESS.into()));
        question
    })
}

/// Table with one interface that is up, and one neighbour on it.
fn table(state: NeighbourState) -> Table {
    let mut link =
        LinkUnspec::new_with_name("eth1").index(IFINDEX).address(OURS.to_vec()).up().build();
    link.header.link_layer_type = LinkLayerType::Ether;
    link.header.flags |= LinkFlags::LowerUp;
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.family = AddressFamily::Inet;
    neighbour.header.ifindex = IFINDEX;
    neighbour.header.state = state;
    neighbour.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ADDRESS.into())),
        NeighbourAttribute::LinkLayerAddress(THEIRS.to_vec()),
    ];
    let mut table = Table::default();
    table.apply(RouteNetlinkMessage::NewLink(link));
    table.apply(RouteNetlinkMessage::NewNeighbour(neighbour));
    table
}
