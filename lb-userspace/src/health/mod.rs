//! Checks that backends can serve.

mod machine;
mod target;
mod tcp;

use std::{collections::HashMap, net::SocketAddr};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

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

/// Runs the checks, each target's in a task of its own, until it is dropped.
#[derive(Debug)]
pub struct Checker {
    events: mpsc::Sender<HealthEvent>,
    /// By service.
    running: HashMap<String, HashMap<SocketAddr, Running>>,
}

impl Checker {
    #[must_use]
    pub fn new(events: mpsc::Sender<HealthEvent>) -> Self {
        Self { events, running: HashMap::new() }
    }

    /// Starts the checks of a service's new targets, stops those of targets that are gone, and lets
    /// the others go on from what they know, by their new settings. A target that is to be probed
    /// in another way starts anew. To be called within a tokio runtime.
    pub fn set_service(&mut self, service: &str, targets: Vec<Target>) {
        let mut before = self.running.remove(service).unwrap_or_default();
        let mut running = HashMap::new();
        for target in targets {
            let address = target.address;
            let known = before
                .remove(&address)
                .filter(|running| running.check.borrow().probe == target.check.probe);
            let known = match known {
                Some(known) => known.adjusted(target.check),
                None => Running::start(target, self.events.clone()),
            };
            running.insert(address, known);
        }
        self.running.insert(service.to_owned(), running);
    }

    /// Stops the checks of a service.
    pub fn remove_service(&mut self, service: &str) {
        self.running.remove(service);
    }
}

#[derive(Debug)]
struct Running {
    check: watch::Sender<HealthCheck>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(target: Target, events: mpsc::Sender<HealthEvent>) -> Self {
        let (check, receiver) = watch::channel(target.check);
        let task = tokio::spawn(target::follow(target, receiver, events));
        Self { check, task }
    }

    fn adjusted(self, check: HealthCheck) -> Self {
        self.check.send_if_modified(|current| {
            let modified = *current != check;
            *current = check;
            modified
        });
        self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
