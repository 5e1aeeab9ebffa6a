//! Health checks of backends, and what other clients and programs of the daemon have in common with them.

mod exchange;
mod exec;
mod fault;
mod files;
mod heard;
mod host;
mod http;
mod kind;
mod last;
mod machine;
mod news;
mod outcome;
mod p521;
mod pattern;
mod pinned;
mod probe;
pub mod program;
mod search;
mod secured;
mod slots;
mod tally;
mod target;
mod tls;
mod unverified;

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use lb_model::{Health, HealthCheck};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
};

pub use self::{
    fault::Fault,
    last::{LastCheck, Results},
    probe::Prober,
    secured::secured,
    tally::{BOUNDS, Tally},
};
use self::{last::Latest, slots::Slots, target::Follower};

/// A backend to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub service: String,
    pub address: SocketAddr,
    pub check: HealthCheck,
    /// Health when its checks start.
    pub initial: Health,
}

/// Event of a backend's checks: its first result, a change of health, or a new reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    pub service: String,
    pub address: SocketAddr,
    pub health: Health,
    /// Result of the last probe, for display.
    pub detail: String,
    /// True if that probe succeeded.
    pub is_success: bool,
    /// True if that probe was carried out: without a result, the health stays as it was.
    pub was_checked: bool,
    pub at: Timestamp,
}

/// A recipient of a probe's results.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subscriber {
    /// Unique number, so that one that subscribes again counts as new.
    number: u64,
    service: String,
    /// Address of the backend, which may differ from the address that is probed.
    address: SocketAddr,
}

/// A check that some service uses.
#[derive(Clone, Debug)]
struct Known {
    number: u64,
    prober: Arc<Prober>,
}

/// Address that is probed, and number of the check.
type Key = (SocketAddr, u64);

/// Runs the checks until it is dropped: one per address and kind of check, shared by all services.
#[derive(Debug)]
pub struct Checker {
    /// User that programs run as.
    user: Arc<str>,
    events: mpsc::Sender<HealthEvent>,
    slots: Arc<Slots>,
    running: HashMap<Key, Running>,
    /// Keys by service and backend.
    wanted: HashMap<String, HashMap<SocketAddr, Key>>,
    known: HashMap<HealthCheck, Known>,
    results: Results,
    /// Last number assigned to a check or subscriber.
    number: u64,
}

impl Checker {
    #[must_use]
    pub fn new(events: mpsc::Sender<HealthEvent>, user: &str) -> Self {
        let (running, wanted, known) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (slots, results) = (Arc::new(Slots::new()), Results::default());
        Self { user: user.into(), events, slots, running, wanted, known, results, number: 0 }
    }

    /// Starts the checks of a service's new targets, stops those of removed targets, and keeps the
    /// others running. A target whose check has changed starts over, from its known health. Must be
    /// called within a tokio runtime.
    pub fn set_service(&mut self, service: &str, targets: Vec<Target>) {
        self.set_services([(service.to_owned(), targets)]);
    }

    /// Like [`Self::set_service`], for all services that change together: a check that moves from
    /// one service to another keeps running.
    pub fn set_services(&mut self, services: impl IntoIterator<Item = (String, Vec<Target>)>) {
        let mut gone = Vec::new();
        for (service, targets) in services {
            let mut before = self.wanted.remove(&service).unwrap_or_default();
            let mut wanted = HashMap::new();
            for target in targets {
                let Known { number, prober } = self.known(&target.check);
                let key = (prober.asked(target.address), number);
                if before.get(&target.address) == Some(&key) {
                    before.remove(&target.address);
                } else {
                    self.subscribe(key, prober, &target);
                }
                wanted.insert(target.address, key);
            }
            self.results.set(&service, self.latest(&wanted));
            if !wanted.is_empty() {
                self.wanted.insert(service.clone(), wanted);
            }
            gone.push((service, before));
        }
        for (service, wanted) in gone {
            self.drop_all(&service, wanted);
        }
    }

    /// Checks a target at once, but at most once a second. The next success is reported even if it
    /// is no change.
    pub fn hurry(&self, service: &str, address: SocketAddr) {
        let key = self.wanted.get(service).and_then(|wanted| wanted.get(&address));
        if let Some(running) = key.and_then(|key| self.running.get(key)) {
            running.hurried.notify_one();
        }
    }

    /// Returns the last checks of all targets.
    #[must_use]
    pub fn results(&self) -> Results {
        self.results.clone()
    }

    /// Stops the checks of a service, and forgets those that there were.
    pub fn remove_service(&mut self, service: &str) {
        self.set_service(service, Vec::new());
        self.results.forget(service);
    }

    /// Returns where the last checks of these targets are found.
    fn latest(&self, wanted: &HashMap<SocketAddr, Key>) -> HashMap<SocketAddr, Latest> {
        let latest = wanted
            .iter()
            .filter_map(|(address, key)| Some((*address, self.running.get(key)?.latest.clone())));
        latest.collect()
    }

    fn known(&mut self, check: &HealthCheck) -> Known {
        if let Some(known) = self.known.get(check) {
            return known.clone();
        }
        let prober = Prober::new(check.clone(), Arc::clone(&self.user));
        let known = Known { number: self.count(), prober: Arc::new(prober) };
        self.known.insert(check.clone(), known.clone());
        known
    }

    fn count(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn subscribe(&mut self, key: Key, prober: Arc<Prober>, target: &Target) {
        let subscriber = Subscriber {
            number: self.count(),
            service: target.service.clone(),
            address: target.address,
        };
        if let Some(running) = self.running.get(&key) {
            running.subscribers.send_modify(|all| all.push(subscriber));
            return;
        }
        let (hurried, latest) = (Arc::new(Notify::new()), Latest::default());
        let (subscribers, receiver) = watch::channel(vec![subscriber]);
        let follower = Follower {
            at: key.0,
            prober,
            slots: Arc::clone(&self.slots),
            subscribers: receiver,
            hurried: Arc::clone(&hurried),
            latest: latest.clone(),
            events: self.events.clone(),
        };
        let task = tokio::spawn(follower.follow(target.initial));
        self.running.insert(key, Running { subscribers, hurried, latest, task });
    }

    fn drop_all(&mut self, service: &str, wanted: HashMap<SocketAddr, Key>) {
        for (address, key) in wanted {
            let Some(running) = self.running.get(&key) else { continue };
            let is_it = |one: &Subscriber| one.service == service && one.address == address;
            running.subscribers.send_modify(|all| all.retain(|one| !is_it(one)));
            if running.subscribers.borrow().is_empty() {
                self.running.remove(&key);
            }
        }
        // Removes checks without other users.
        self.known.retain(|_, known| Arc::strong_count(&known.prober) > 1);
    }
}

#[derive(Debug)]
struct Running {
    subscribers: watch::Sender<Vec<Subscriber>>,
    /// Triggers the next check at once.
    hurried: Arc<Notify>,
    latest: Latest,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod program_tests;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
