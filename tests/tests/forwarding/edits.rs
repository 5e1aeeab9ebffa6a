//! Concurrent edits by many clients, valid and invalid ones. The kernel's maps must be correct all
//! the time.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use fastrand::Rng;
use lb_client::{Client, ClientError};
use lb_model::{Admin, NewBackend, Proposal, Settings, Target, views::ServiceView};
use lb_tests::{
    balancer::{Balancer, configuration},
    site::{Arms, empty_testbed},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::runtime;

use crate::maps::{Maps, Rings, shares};

const CLIENTS: u64 = 8;
const EDITS: usize = 1_250;

/// Returns the required rings, by the daemon's own report.
fn wanted(services: &[ServiceView]) -> Rings {
    let ring_of = |service: &ServiceView| {
        let backends = service.backends.iter().filter(|backend| backend.in_ring);
        shares(backends.map(|backend| (backend.address, backend.weight)))
    };
    services.iter().map(|service| (service.vip, ring_of(service))).collect()
}

/// Returns the persistent part of services.
fn document(services: &[ServiceView]) -> Vec<Value> {
    let backends = |service: &ServiceView| -> Vec<Value> {
        let kept = |one: &lb_model::views::BackendView| {
            json!([one.address, one.weight, one.backup, one.admin])
        };
        service.backends.iter().map(kept).collect()
    };
    let kept = |one: &ServiceView| json!([one.name, one.vip, one.policy.scheduler, backends(one)]);
    services.iter().map(kept).collect()
}

struct Editor<'a> {
    client: Client,
    chance: Rng,
    backends: &'a [SocketAddr],
    configuration: &'a str,
}

impl Editor<'_> {
    fn service(&mut self) -> String {
        format!("s{}", self.chance.u8(..7))
    }

    fn backend(&mut self) -> SocketAddr {
        let mut backend = *self.chance.choice(self.backends).expect("there are some");
        backend.set_port(self.chance.u16(80..84));
        backend
    }

    fn keys(&mut self) -> Value {
        let vip = format!("203.0.113.{}:{}", self.chance.u8(10..18), self.chance.u16(80..82));
        let one_of = |chance: &mut Rng, of: &[&str]| (*chance.choice(of).expect("some")).to_owned();
        let schedulers = ["round-robin", "least-connections", "source-hash", "random", "fair"];
        let mut keys = json!({ "health": { "type": "none" } });
        for _ in 0..self.chance.u8(1..3) {
            match self.chance.u8(..6) {
                0 | 1 => keys["vip"] = vip.as_str().into(),
                2 => keys["scheduler"] = one_of(&mut self.chance, &schedulers).into(),
                3 => keys["min_active"] = self.chance.i8(-1..3).into(),
                4 => keys["slow_start"] = one_of(&mut self.chance, &["0s", "1s", "soon"]).into(),
                _ => keys["timeouts"] = json!({ "closed": "5s" }),
            }
        }
        keys
    }

    /// Makes a configuration file with some services, or with an error.
    fn proposal(&mut self) -> Proposal {
        let mut text = self.configuration.to_owned();
        for nth in 0..self.chance.u8(..4) {
            let (vip, backend) = (self.chance.u8(10..18), self.backend());
            let service = format_args!(
                "[[service]]\nname = \"s{nth}\"\nvip = \"203.0.113.{vip}:80\"\nhealth.type = \"none\"\n\
                 backend = [{{ address = \"{backend}\", weight = {} }}]\n",
                self.chance.u8(..6)
            );
            write!(text, "{service}").expect("a string takes anything");
        }
        Proposal { path: "edits.toml".to_owned(), text }
    }

    async fn edit(&mut self) -> Result<(), ClientError> {
        let (service, address) = (self.service(), self.backend());
        let weight = self.chance.u16(..8);
        let backup = self.chance.u8(..4) == 0;
        let admins = [Admin::Enabled, Admin::Enabled, Admin::Draining, Admin::Disabled];
        let admin = self.chance.choice(admins);
        match self.chance.u8(..100) {
            0..12 => {
                let mut keys = self.keys();
                keys["name"] = service.into();
                let keys = keys.as_object().expect("an object");
                self.client.add_service(keys).await.map(drop)
            }
            12..24 => {
                let keys = self.keys();
                let keys = keys.as_object().expect("an object");
                self.client.set_service(&service, keys).await.map(drop)
            }
            24..28 => self.client.remove_service(&service).await.map(drop),
            28..55 => {
                let new = NewBackend { address, weight, backup };
                self.client.add(&service, &new).await.map(drop)
            }
            55..68 => self.client.remove(&service, address).await.map(drop),
            68..80 => {
                let settings =
                    Settings { weight: Some(weight), backup: Some(backup), ..Settings::default() };
                self.client.set(&service, address, &settings).await.map(drop)
            }
            80..95 => {
                let settings = Settings { admin, ..Settings::default() };
                self.client.set(&service, address, &settings).await.map(drop)
            }
            95..97 => {
                let proposal = self.proposal();
                self.client.apply(&proposal).await.map(drop)
            }
            _ => {
                let version = self.chance.bool().then(|| self.chance.u64(..400));
                self.client.rollback(Target { version }).await.map(drop)
            }
        }
    }

    /// Makes all edits, and returns the number of successful ones.
    async fn edit_all(&mut self) -> usize {
        let mut carried_out = 0;
        for _ in 0..EDITS {
            match self.edit().await {
                Ok(()) => carried_out += 1,
                Err(ClientError::Refused(problem)) if problem.status < 500 => {}
                Err(error) => panic!("{error}"),
            }
        }
        carried_out
    }
}

fn edit(nth: u64, socket: &Path, backends: &[SocketAddr], configuration: &str) -> usize {
    let client = Client::new(socket.to_owned());
    let mut editor = Editor { client, chance: Rng::with_seed(nth), backends, configuration };
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(editor.edit_all())
}

#[test]
#[ignore = "needs root"]
fn ten_thousand_edits_of_eight_clients_leave_the_maps_as_they_should_be() {
    let testbed = empty_testbed(Arms::Two);
    let text = configuration(&testbed, "");
    let balancer = Balancer::start(&testbed, &text);
    let backends: Vec<_> = (0..3).map(|nth| lb_tests::site::backend(&testbed, nth)).collect();
    let maps = Maps::open(&testbed);
    let ended = AtomicBool::new(false);
    let (carried_out, fault) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut faults = std::iter::repeat_with(|| maps.fault());
            let goes_on = |fault: &Option<String>| fault.is_some() || ended.load(Ordering::Relaxed);
            faults.find(goes_on).flatten()
        });
        let edit = |nth| {
            let (socket, backends, text) = (balancer.socket(), &backends, &text);
            scope.spawn(move || edit(nth, socket, backends, text))
        };
        let editors: Vec<_> = (0..CLIENTS).map(edit).collect();
        let carried_out: Vec<_> = editors.into_iter().map(thread::ScopedJoinHandle::join).collect();
        ended.store(true, Ordering::Relaxed);
        let carried_out: usize = carried_out.into_iter().map(|one| one.expect("edits")).sum();
        (carried_out, watch.join().expect("watches"))
    });
    eprintln!("{carried_out} edits were carried out");
    assert_eq!(fault, None);
    assert!((1_000..9_000).contains(&carried_out), "{carried_out}");
    balancer.wait_for("maps that have what is wanted", || {
        maps.contents() == wanted(&balancer.services()) && maps.fault().is_none()
    });

    let before = document(&balancer.services());
    balancer.stop(Signal::SIGKILL);
    let balancer = Balancer::start(&testbed, &text);
    assert_eq!(document(&balancer.services()), before);
}
