use std::time::Duration;

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use tokio::{net::TcpListener, time};

use super::*;
use crate::model::Probe;

fn check() -> HealthCheck {
    HealthCheck {
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(200),
        ..HealthCheck::default()
    }
}

#[tokio::test]
async fn only_the_first_result_and_transitions_are_told() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
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
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
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
async fn who_comes_back_to_a_shared_probe_is_told_again() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
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

/// Run it alone and in release: `cargo test --release -p lb-userspace --lib ten_thousand --
/// --ignored --nocapture`.
#[tokio::test]
#[ignore = "needs root, and measures for a quarter of a minute"]
async fn ten_thousand_backends_cost_less_than_a_third_of_a_core() {
    const TARGETS: u32 = 10_000;
    const ROUNDS: u32 = 5;
    let server = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || server.incoming().for_each(drop));
    let base = u32::from(std::net::Ipv4Addr::new(127, 1, 0, 0));
    let place = |nth: u32| SocketAddr::from((std::net::Ipv4Addr::from(base + nth), port));
    let targets = (0..TARGETS).map(|nth| target(place(nth), HealthCheck::default()));
    let (events, mut told) = mpsc::channel(TARGETS as usize);
    let mut checker = Checker::new(events);
    checker.set_service("web", targets.collect());
    for _ in 0..TARGETS {
        assert_eq!(told.recv().await.map(|event| event.health), Some(Health::Up));
    }
    time::sleep(Duration::from_secs(2)).await;
    let before = used();
    time::sleep(HealthCheck::default().interval * ROUNDS).await;
    let used = used().saturating_sub(before);
    let share = used.as_secs_f64() / 10.0;
    println!("{TARGETS} checks every 2 s: {:.1} % of a core", share * 100.0);
    assert!(told.try_recv().is_err(), "nothing has changed");
    assert!(cfg!(debug_assertions) || share < 0.3);
}

/// What this thread has used of a CPU.
fn used() -> Duration {
    let used = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let time = |of: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(of.num_microseconds()).unwrap())
    };
    time(used.user_time()) + time(used.system_time())
}

#[tokio::test]
async fn a_target_that_is_gone_is_checked_no_more() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
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

fn checker() -> (Checker, mpsc::Receiver<HealthEvent>) {
    let (sender, events) = mpsc::channel(8);
    (Checker::new(sender), events)
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
