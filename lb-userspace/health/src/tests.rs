use std::time::Duration;

use lb_model::Probe;
use tokio::{net::TcpListener, time};

use super::{servers::listening, *};

fn check() -> HealthCheck {
    HealthCheck {
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(200),
        ..HealthCheck::default()
    }
}

#[tokio::test]
async fn only_the_first_result_and_transitions_are_told() {
    let (server, address) = listening().await;
    let (mut checker, mut events) = checker();
    checker.set_service("web", vec![target(address, check())]);

    assert_eq!(next(&mut events).await, (Health::Up, address));
    assert!(is_quiet(&mut events).await);
    drop(server);
    assert_eq!(next(&mut events).await, (Health::Down, address));
    let _server = TcpListener::bind(address).await.unwrap();
    assert_eq!(next(&mut events).await, (Health::Up, address));
}

#[tokio::test]
async fn services_that_want_the_same_share_one_probe() {
    let (_server, address) = listening().await;
    let (mut checker, mut events) = checker();
    let slow = HealthCheck { interval: Duration::from_mins(1), ..check() };
    for service in ["web", "again"] {
        let target = Target { service: service.to_owned(), ..target(address, slow.clone()) };
        checker.set_service(service, vec![target]);
        assert_eq!(next(&mut events).await, (Health::Up, address));
    }
    assert_eq!(checker.running.len(), 1);
    checker.remove_service("web");
    assert_eq!(checker.running.len(), 1);
    checker.remove_service("again");
    assert_eq!(checker.running.len(), 0);
}

#[tokio::test]
async fn a_check_that_passes_to_another_service_goes_on() {
    let (_server, address) = listening().await;
    let (mut checker, mut events) = checker();
    let slow = HealthCheck { interval: Duration::from_mins(1), ..check() };
    checker.set_service("web", vec![target(address, slow.clone())]);
    assert_eq!(next(&mut events).await, (Health::Up, address));
    let task = checker.running.values().next().map(|running| running.task.id());
    let renamed = Target { service: "shop".to_owned(), ..target(address, slow) };
    checker.set_services([("web".to_owned(), Vec::new()), ("shop".to_owned(), vec![renamed])]);
    let event = events.recv().await.unwrap();
    assert_eq!((event.service.as_str(), event.health), ("shop", Health::Up));
    assert_eq!(checker.running.values().next().map(|running| running.task.id()), task);
    assert_eq!(checker.running.len(), 1);
}

#[tokio::test]
async fn who_comes_back_to_a_shared_probe_is_told_again() {
    let (_server, address) = listening().await;
    let (mut checker, mut events) = checker();
    let slow = HealthCheck { interval: Duration::from_mins(1), ..check() };
    let of =
        |service: &str| Target { service: service.to_owned(), ..target(address, slow.clone()) };
    for service in ["web", "again"] {
        checker.set_service(service, vec![of(service)]);
        assert_eq!(next(&mut events).await, (Health::Up, address));
    }
    checker.remove_service("again");
    checker.set_service("again", vec![of("again")]);
    assert_eq!(next(&mut events).await, (Health::Up, address));
}

#[tokio::test]
async fn a_target_that_is_gone_is_checked_no_more() {
    let (server, address) = listening().await;
    let (mut checker, mut events) = checker();
    checker.set_service("web", vec![target(address, check())]);
    next(&mut events).await;

    checker.set_service("web", Vec::new());
    drop(server);
    assert!(is_quiet(&mut events).await);
}

#[tokio::test]
async fn a_backend_without_a_probe_is_up() {
    let address = "192.0.2.1:80".parse().unwrap();
    let unprobed = HealthCheck { probe: Probe::None, ..check() };
    let down = Target { initial: Health::Down, ..target(address, unprobed) };
    let (mut checker, mut events) = checker();
    checker.set_service("web", vec![down]);

    assert_eq!(next(&mut events).await, (Health::Up, address));
}

/// A server that a check has found up.
struct Watched {
    server: TcpListener,
    address: SocketAddr,
    checker: Checker,
    events: mpsc::Receiver<HealthEvent>,
}

async fn up(check: HealthCheck) -> Watched {
    let (server, address) = listening().await;
    let (mut checker, mut events) = checker();
    checker.set_service("web", vec![target(address, check)]);
    assert_eq!(next(&mut events).await, (Health::Up, address));
    Watched { server, address, checker, events }
}

fn checker() -> (Checker, mpsc::Receiver<HealthEvent>) {
    let (sender, events) = mpsc::channel(8);
    (Checker::new(sender, "nobody"), events)
}

fn target(address: SocketAddr, check: HealthCheck) -> Target {
    Target { service: "web".to_owned(), address, check, initial: Health::Unknown }
}

async fn next(events: &mut mpsc::Receiver<HealthEvent>) -> (Health, SocketAddr) {
    let event = time::timeout(Duration::from_secs(5), events.recv())
        .await
        .expect("no event")
        .expect("the checker is gone");
    (event.health, event.address)
}

async fn is_quiet(events: &mut mpsc::Receiver<HealthEvent>) -> bool {
    time::timeout(Duration::from_millis(150), events.recv()).await.is_err()
}

#[tokio::test]
async fn who_is_in_a_hurry_is_told_of_the_next_success_though_it_is_no_news() {
    let Watched { server: _server, address, checker, mut events } =
        up(HealthCheck { interval: Duration::from_mins(10), ..check() }).await;
    checker.hurry("web", address);
    let event = events.recv().await.unwrap();
    assert_eq!((event.health, event.is_success), (Health::Up, true));
    assert!(is_quiet(&mut events).await, "one verdict for one hurry");
}

#[tokio::test]
async fn a_hurry_waits_for_success_or_another_health() {
    let Watched { server, address, checker, mut events } =
        up(HealthCheck { fall: 1_000_000, ..check() }).await;
    drop(server);
    checker.hurry("web", address);
    assert!(is_quiet(&mut events).await, "a failure that decides nothing is no verdict");
    let _server = TcpListener::bind(address).await.unwrap();
    let event = events.recv().await.unwrap();
    assert_eq!((event.health, event.is_success), (Health::Up, true));
}

#[tokio::test]
async fn hurries_are_a_second_apart_and_none_is_lost() {
    let Watched { server: _server, address, checker, mut events } =
        up(HealthCheck { interval: Duration::from_mins(10), ..check() }).await;
    let mut first = None;
    for _ in 0..2 {
        checker.hurry("web", address);
        events.recv().await.unwrap();
        first.get_or_insert_with(time::Instant::now);
    }
    // Measured from the start of the probes; the first started a little before its report.
    let apart = first.unwrap().elapsed();
    assert!(apart > Duration::from_millis(500), "{apart:?}");
}

#[tokio::test]
async fn nobody_in_a_hurry_for_what_is_not_checked_is_an_error() {
    let (checker, mut events) = checker();
    checker.hurry("web", "127.0.0.1:1".parse().unwrap());
    assert!(is_quiet(&mut events).await);
}

#[tokio::test]
async fn a_failure_is_told_before_it_decides() {
    let Watched { server, address: _, checker: _checker, mut events } =
        up(HealthCheck { fall: 1_000_000, ..check() }).await;
    drop(server);
    let event = time::timeout(Duration::from_secs(20), events.recv()).await.expect("an event");
    let event = event.expect("the checker");
    assert_eq!((event.health, event.is_success, event.was_checked), (Health::Up, false, true));
    let detail = &event.detail;
    assert!(detail.starts_with("L4CON") && detail.ends_with("of 1000000 failures"), "{detail}");
}

#[tokio::test]
async fn a_check_that_cannot_be_carried_out_is_told_and_keeps_the_health() {
    let directory = tempfile::TempDir::new().unwrap();
    let ca = directory.path().join("ca.pem");
    let request = lb_model::CheckRequest { ca: Some(ca), ..Default::default() };
    let check = HealthCheck { probe: Probe::Tls, request, ..check() };
    let address = "127.0.0.1:1".parse().unwrap();
    let (mut checker, mut events) = checker();
    checker.set_service("web", vec![Target { initial: Health::Up, ..target(address, check) }]);
    let event = events.recv().await.expect("the checker");
    assert_eq!((event.health, event.is_success, event.was_checked), (Health::Up, false, false));
    assert!(is_quiet(&mut events).await);
    // From then on a TLS handshake is possible, but no server listens.
    let certificate = rcgen::generate_simple_self_signed(["db".to_owned()]).unwrap().cert;
    std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
    let event = time::timeout(Duration::from_secs(20), events.recv()).await.expect("an event");
    let event = event.expect("the checker");
    assert!(event.was_checked && event.detail.starts_with("L4CON"), "{event:?}");
}
