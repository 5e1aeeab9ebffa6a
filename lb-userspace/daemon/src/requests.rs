//! Requests of the API.

use super::{
    daemon::Daemon,
    events::Events,
    reader::{Order, Rollback},
};
use crate::control::{Caller, Reply, Request, VersionDetail, Versioned};
use lb_config::desired::Version;
use lb_host::listeners::Listeners;
use lb_model::{
    Change, Refusal, secrets,
    views::{Plan, ServiceView, VersionView},
};

/// A change that waits for the previous one.
pub(super) struct Waiting {
    change: Change,
    by: Caller,
    reply: Reply<Versioned<Option<ServiceView>>>,
}

impl Daemon {
    /// Answers a request or queues it for the reader; returns a change that needs neither.
    pub(super) fn answer(&mut self, request: Request) -> Option<Waiting> {
        // The client may have disconnected.
        match request {
            Request::Change(
                change @ (Change::AddService { .. } | Change::SetService { .. }),
                by,
                reply,
            ) => self.read_edit(change, by, reply, 1),
            Request::Change(change, by, reply) => return Some(Waiting { change, by, reply }),
            Request::Plan(submission, reply) => {
                self.queue.reader.give(Order::Plan(submission, reply));
            }
            Request::Apply(submission, reply) => {
                self.queue.reader.give(Order::Apply(submission, reply));
            }
            Request::History(reply) => drop(reply.send(Ok(self.history()))),
            Request::Version(number, reply) => drop(reply.send(self.version(number))),
            Request::BeginTrace(program, reply) => drop(reply.send(self.begin_trace(program))),
            Request::EndTrace(reply) => {
                self.end_trace();
                drop(reply.send(Ok(())));
            }
            Request::ChangeRole(group, order, by, reply) => {
                let changed = self.change_role(&group, order, &by);
                self.tell(reply, changed);
            }
            Request::Rollback(to, by, reply) => self.read_rollback(to, by, reply),
        }
        None
    }

    /// Applies the oldest waiting change.
    pub(super) async fn change(&mut self, events: &mut Events) {
        let Some(Waiting { change, by, reply }) = self.queue.waiting.pop_front() else { return };
        // It sets no VIP.
        let listeners = Listeners::default();
        let changed = self.carry_out(self.edited(&change), &change, &by, &listeners, events).await;
        self.tell(reply, changed);
    }

    pub(super) fn versioned<T>(&self, value: T) -> Versioned<T> {
        Versioned { version: self.desired.settled_number(), value }
    }

    fn history(&self) -> Vec<VersionView> {
        self.desired.versions().rev().map(version_view).collect()
    }

    fn version(&self, number: u64) -> Result<VersionDetail, Refusal> {
        let version = self.desired.version(number).ok_or_else(|| no_version(number))?;
        Ok(VersionDetail {
            view: version_view(version),
            steps: self.desired.steps_of(number),
            document: version.document.clone(),
        })
    }

    /// Queues a rollback, to read the listeners on its VIPs first. The default is the previous
    /// version.
    fn read_rollback(&self, to: Option<u64>, by: Caller, reply: Reply<Plan>) {
        let former = match to {
            Some(number) => self.desired.version(number).ok_or_else(|| no_version(number)),
            None => self
                .desired
                .former()
                .ok_or_else(|| Refusal::Conflict("there is no earlier version".to_owned())),
        };
        match former {
            Err(refusal) => drop(reply.send(Err(refusal))),
            Ok(former) => {
                let (number, document) = (former.number, former.document.clone());
                let rollback = Rollback { number, document, by, reply };
                self.queue.reader.give(Order::Rollback(rollback));
            }
        }
    }
}

fn version_view(version: &Version) -> VersionView {
    VersionView {
        version: version.number,
        at: version.at,
        by: version.author.by.clone(),
        what: secrets::shown_history(&version.author.what),
    }
}

pub(super) fn no_version(number: u64) -> Refusal {
    Refusal::NotFound(format!("there is no version {number}: see `xdplb history`"))
}
