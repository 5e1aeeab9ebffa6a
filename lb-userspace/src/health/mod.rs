//! Checks that backends can serve.

mod exchange;
mod exec;
mod files;
mod heard;
mod host;
mod http;
mod last;
mod machine;
mod news;
mod p521;
mod pattern;
mod pinned;
mod probe;
mod search;
mod slots;
mod target;
mod tls;
mod unverified;

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
};

pub use self::{
    exec::account_fault,
    last::LastCheck,
    probe::{Fault, Prober},
};
use self::{last::Latest, probe::Outcome, slots::Slots, target::Follower};
use crate::model::{Health, HealthCheck};

/// A backend that is to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub service: String,
    pub address: SocketAddr,
    pub check: HealthCheck,
    /// What is known of it when its checks start.
    pub initial: Health,
}

/// What the checks have found out of a backend: its first result, another health, or another reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    pub service: String,
    pub address: SocketAddr,
    pub health: Health,
    /// The last probe's result, for people.
    pub detail: String,
    /// Whether that probe succeeded.
    pub is_success: bool,
    /// Whether that probe was carried out: without a result, the health stays as it was.
    pub was_checked: bool,
    pub at: Timestamp,
}

/// Who wants to know of a probe's results.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subscriber {
    /// Counted through, so that one who comes back is known to be new.
    number: u64,
    service: String,
    /// The backend's own, which need not be where it is asked.
    address: SocketAddr,
}

/// A check that some service has.
#[derive(Clone, Debug)]
struct Known {
    number: u64,
    prober: Arc<Prober>,
}

/// Where is asked, and the number of the check by which.
type Key = (SocketAddr, u64);

/// Runs the checks until it is dropped: one for each address and kind of check, whoever wants it.
#[derive(Debug)]
pub struct Checker {
    /// Whom programs run as.
    user: Arc<str>,
    events: mpsc::Sender<HealthEvent>,
    slots: Arc<Slots>,
    running: HashMap<Key, Running>,
    /// By service.
    wanted: HashMap<String, HashMap<SocketAddr, Key>>,
    known: HashMap<HealthCheck, Known>,
    /// The last that was given to a check or to a subscriber.
    number: u64,
}

impl Checker {
    #[must_use]
    pub fn new(events: mpsc::Sender<HealthEvent>, user: &str) -> Self {
        let (running, wanted, known) = (HashMap::new(), HashMap::new(), HashMap::new());
        let slots = Arc::new(Slots::new());
        Self { user: user.into(), events, slots, running, wanted, known, number: 0 }
    }

    /// Starts the checks of a service's new targets, stops those of targets that are gone, and lets
    /// the others go on. A target that is to be checked in another way starts over, from what is
    /// known of it. To be called within a tokio runtime.
    pub fn set_service(&mut self, service: &str, targets: Vec<Target>) {
        self.set_services([(service.to_owned(), targets)]);
    }

    /// As [`Self::set_service`], for all that change at once: a check that passes from one service
    /// to another goes on.
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
            if !wanted.is_empty() {
                self.wanted.insert(service.clone(), wanted);
            }
            gone.push((service, before));
        }
        for (service, wanted) in gone {
            self.drop_all(&service, wanted);
        }
    }

    /// Has a target checked at once, but not twice within a second. The next success is told even if it
    /// is no news.
    pub fn hurry(&self, service: &str, address: SocketAddr) {
        let key = self.wanted.get(service).and_then(|wanted| wanted.get(&address));
        if let Some(running) = key.and_then(|key| self.running.get(key)) {
            running.hurried.notify_one();
        }
    }

    /// The last check of a target. Nothing before the first one has ended, and where none is made.
    #[must_use]
    pub fn last(&self, service: &str, address: SocketAddr) -> Option<LastCheck> {
        let key = self.wanted.get(service)?.get(&address)?;
        self.running.get(key)?.latest.get()
    }

    /// Stops the checks of a service.
    pub fn remove_service(&mut self, service: &str) {
        self.set_service(service, Vec::new());
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
        // What nobody else has is carried out no more.
        self.known.retain(|_, known| Arc::strong_count(&known.prober) > 1);
    }
}

#[derive(Debug)]
struct Running {
    subscribers: watch::Sender<Vec<Subscriber>>,
    /// Has the next check come at once.
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
mod tests;
#[cfg(test)]
mod tls_tests;
