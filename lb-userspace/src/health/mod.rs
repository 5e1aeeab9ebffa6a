//! Checks that backends can serve.

mod exchange;
mod exec;
mod http;
mod machine;
mod probe;
mod target;
mod tls;

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use regex::bytes::Regex;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub use self::probe::{Fault, Prober};
use crate::model::{CheckRequest, Health, HealthCheck};

/// A backend that is to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub service: String,
    pub address: SocketAddr,
    pub check: HealthCheck,
    /// What is known of it when its checks start.
    pub initial: Health,
}

/// What the checks have found out of a backend: its first result, or another health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    pub service: String,
    pub address: SocketAddr,
    pub health: Health,
    /// The last probe's result, for people.
    pub detail: String,
    pub at: Timestamp,
}

/// What a probe has found.
#[derive(Debug)]
struct Outcome {
    success: bool,
    detail: String,
}

/// Who wants to know of a probe's results.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subscriber {
    service: String,
    /// The backend's own, which need not be where it is asked.
    address: SocketAddr,
}

/// Where is asked, and how.
type Key = (SocketAddr, HealthCheck);

/// Runs the checks until it is dropped: one for each address and kind of check, whoever wants it.
#[derive(Debug)]
pub struct Checker {
    events: mpsc::Sender<HealthEvent>,
    running: HashMap<Key, Running>,
    /// By service.
    wanted: HashMap<String, HashMap<SocketAddr, Key>>,
    /// The checks of services, made ready.
    probers: HashMap<HealthCheck, Arc<Prober>>,
}

impl Checker {
    #[must_use]
    pub fn new(events: mpsc::Sender<HealthEvent>) -> Self {
        let (running, wanted, probers) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { events, running, wanted, probers }
    }

    /// Starts the checks of a service's new targets, stops those of targets that are gone, and lets
    /// the others go on. A target that is to be checked in another way starts anew, from what is
    /// known of it. To be called within a tokio runtime.
    pub fn set_service(&mut self, service: &str, targets: Vec<Target>) {
        let mut before = self.wanted.remove(service).unwrap_or_default();
        let mut wanted = HashMap::new();
        for target in targets {
            let Some(prober) = self.prober(&target.check) else { continue };
            let key = (prober.asked(target.address), target.check.clone());
            if before.get(&target.address) == Some(&key) {
                before.remove(&target.address);
            } else {
                self.subscribe(&key, prober, &target);
            }
            wanted.insert(target.address, key);
        }
        self.drop_all(service, before);
        self.wanted.insert(service.to_owned(), wanted);
    }

    /// Stops the checks of a service.
    pub fn remove_service(&mut self, service: &str) {
        let wanted = self.wanted.remove(service).unwrap_or_default();
        self.drop_all(service, wanted);
    }

    fn prober(&mut self, check: &HealthCheck) -> Option<Arc<Prober>> {
        if let Some(known) = self.probers.get(check) {
            return Some(Arc::clone(known));
        }
        match Prober::new(check) {
            Ok(prober) => {
                let prober = Arc::new(prober);
                self.probers.insert(check.clone(), Arc::clone(&prober));
                Some(prober)
            }
            // A file that it names may have vanished since the check was taken on.
            Err(Fault { key, message }) => {
                log::error!("a health check cannot be carried out: `{key}`: {message}");
                None
            }
        }
    }

    fn subscribe(&mut self, key: &Key, prober: Arc<Prober>, target: &Target) {
        let subscriber = Subscriber { service: target.service.clone(), address: target.address };
        if let Some(running) = self.running.get(key) {
            running.subscribers.send_modify(|all| all.push(subscriber));
            return;
        }
        let (subscribers, receiver) = watch::channel(vec![subscriber]);
        let follow = target::follow(key.0, prober, target.initial, receiver, self.events.clone());
        let task = tokio::spawn(follow);
        self.running.insert(key.clone(), Running { subscribers, task });
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
        self.probers.retain(|_, prober| Arc::strong_count(prober) > 1);
    }
}

#[derive(Debug)]
struct Running {
    subscribers: watch::Sender<Vec<Subscriber>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The regular expression that an answer must match, if there is one.
fn pattern(request: &CheckRequest) -> Result<Option<Regex>, Fault> {
    let pattern = request.expect.as_deref().map(Regex::new).transpose();
    pattern.map_err(|error| Fault::new("expect", &error))
}

#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod tests;
