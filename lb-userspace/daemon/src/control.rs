//! Requests of the API to the daemon's loop, questions to its viewer, and their answers.

use std::{any::Any, net::SocketAddr, sync::Arc};

use lb_config::{Config, desired::Document};
use lb_dataplane::{TracedProgram, listing::Listing};
use lb_model::{
    Change, Proposal, Refusal, RoleOrder,
    connections::Filter,
    views::{
        GroupView, Plan, Readiness, ServiceView, Stats, Status, Step, VersionView,
        explanation::{Explanation, PacketQuery},
        trace::TraceFilter,
    },
};
use tokio::sync::{mpsc, oneshot};

pub use super::overview::Overview;
use super::{
    connection_log::Teller,
    explain::{Explainer, Links, Loaded},
    trace::{Planned, Prepared, Trace},
};

/// Whose connections are asked for: of all, unless it is told.
#[derive(Debug)]
pub struct Owner {
    pub service: Option<String>,
    pub backend: Option<SocketAddr>,
}

/// A question about the state, with the channel for its answer. The loop is not asked.
#[derive(Debug)]
pub enum Question {
    Status(Reply<Status>),
    Groups(Reply<Vec<GroupView>>),
    Services(Reply<Versioned<Vec<ServiceView>>>),
    /// A service by its name, with the origins of its settings.
    Service(String, Reply<Versioned<ServiceView>>),
    /// Running settings and services.
    Running(Reply<Running>),
    Stats(Reply<Stats>),
    Connections(Owner, Reply<Listing>),
    /// Who explains packets.
    Explainer(Reply<Explainer>),
    Explain(PacketQuery, Links, Loaded, Reply<Explanation>),
    PlanTrace(TraceFilter, Reply<Planned>),
    Overview(Reply<Overview>),
    /// Whether this node can be active, if this many services must be able to serve.
    Readiness(usize, Reply<Readiness>),
}

/// A request to the loop, with the channel for its answer.
#[derive(Debug)]
pub enum Request {
    /// Answered with the changed service, unless it was removed.
    Change(Change, Caller, Reply<Versioned<Option<ServiceView>>>),
    Plan(Submission, Reply<Plan>),
    Apply(Submission, Reply<Plan>),
    History(Reply<Vec<VersionView>>),
    Version(u64, Reply<VersionDetail>),
    /// Rolls back to this version, or to the one before the current one.
    Rollback(Option<u64>, Caller, Reply<Plan>),
    /// Attaches a program that records packets.
    BeginTrace(TracedProgram, Reply<()>),
    EndTrace(Reply<()>),
    /// Makes this node active or standby for the group of this name.
    ChangeRole(String, RoleOrder, Caller, Reply<GroupView>),
}

/// Author of a request, by the credentials of the peer of the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// For display, as in `alice (uid 1000, pid 4711)`.
    pub name: String,
    /// True if it may set programs to run, and any file to read.
    pub is_root: bool,
    /// True to take VIPs that servers on this host listen on; only root may.
    pub forces: bool,
    /// Required version of the document.
    pub expected: Expected,
    /// True to check the change and return its steps without applying it.
    pub is_dry_run: bool,
}

impl Caller {
    #[must_use]
    pub fn expecting(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }

    #[must_use]
    pub fn trying(self, is_dry_run: bool) -> Self {
        Self { is_dry_run, ..self }
    }
}

/// Versions of the document for which a change is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Any,
    OneOf(Vec<u64>),
    /// Only weak tags.
    Weak,
}

impl Expected {
    /// Returns an error if the change was made for another version.
    pub fn refuse_stale(&self, present: u64) -> Result<(), Refusal> {
        match self {
            Self::OneOf(versions) if !versions.contains(&present) => Err(Refusal::Stale(format!(
                "the configuration is at version {present}: read it again, and send the change \
                 with its ETag"
            ))),
            Self::Weak => Err(Refusal::Stale(
                "`If-Match` has a weak tag, which matches nothing: send the strong `ETag`, as in \
                 \"7\""
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// A value, and the version of the document that it is of. None if that is not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    pub version: Option<u64>,
    pub value: T,
}

impl<T> Versioned<T> {
    pub fn map<U>(self, made: impl FnOnce(T) -> U) -> Versioned<U> {
        Versioned { version: self.version, value: made(self.value) }
    }
}

/// Memory reserved for the body of a request, released with the last clone.
#[derive(Clone, Debug, Default)]
pub struct Room {
    _held: Option<Arc<dyn Any + Send + Sync>>,
}

impl Room {
    #[must_use]
    pub fn of(held: impl Any + Send + Sync) -> Self {
        Self { _held: Some(Arc::new(held)) }
    }
}

/// Text of a configuration file, its sender and its memory reservation.
#[derive(Debug)]
pub struct Submission {
    pub proposal: Proposal,
    pub by: Caller,
    pub room: Room,
}

/// A version with all of its services.
#[derive(Clone, Debug)]
pub struct VersionDetail {
    pub view: VersionView,
    /// None if the previous version is no longer stored.
    pub steps: Option<Vec<Step>>,
    pub document: Document,
}

/// Settings of the daemon, without services, and the document.
#[derive(Clone, Debug)]
pub struct Running {
    pub version: u64,
    pub config: Config,
    pub document: Document,
}

pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Sends requests to the loop, and questions to the viewer.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    questions: mpsc::Sender<Question>,
    /// Where ends of connections are told, if anywhere.
    pub(crate) ends: Option<Teller>,
}

/// Returns a handle, and what is sent by it.
#[must_use]
pub fn channel(backlog: usize) -> (Handle, mpsc::Receiver<Request>, mpsc::Receiver<Question>) {
    let (requests, requested) = mpsc::channel(backlog);
    let (questions, asked) = mpsc::channel(backlog);
    (Handle { requests, questions, ends: None }, requested, asked)
}

impl Handle {
    /// Returns this handle with a place where ends of connections are told.
    #[must_use]
    pub(crate) fn telling(self, ends: Teller) -> Self {
        Self { ends: Some(ends), ..self }
    }

    pub async fn status(&self) -> Result<Status, Refusal> {
        self.ask(Question::Status).await
    }

    /// Returns the groups of a pair's addresses, with this node's roles.
    pub async fn groups(&self) -> Result<Vec<GroupView>, Refusal> {
        self.ask(Question::Groups).await
    }

    pub async fn services(&self) -> Result<Versioned<Vec<ServiceView>>, Refusal> {
        self.ask(Question::Services).await
    }

    pub async fn service(&self, name: String) -> Result<Versioned<ServiceView>, Refusal> {
        self.ask(|reply| Question::Service(name, reply)).await
    }

    pub async fn running(&self) -> Result<Running, Refusal> {
        self.ask(Question::Running).await
    }

    pub async fn stats(&self) -> Result<Stats, Refusal> {
        self.ask(Question::Stats).await
    }

    /// Returns a listing of all connections, to read outside the loop, or an error if the service or the
    /// backend that a filter names does not exist.
    pub async fn connections(&self, filter: &Filter) -> Result<Listing, Refusal> {
        let owner = Owner { service: filter.service.clone(), backend: filter.backend };
        self.ask(|reply| Question::Connections(owner, reply)).await
    }

    /// Tells what would happen to a packet, and why.
    pub async fn explain(&self, query: PacketQuery) -> Result<Explanation, Refusal> {
        let links = Links::read(&query).await?;
        let loaded = self.ask(Question::Explainer).await?.loaded().await?;
        self.ask(|reply| Question::Explain(query, links, loaded, reply)).await
    }

    /// Loads a program that records these packets, and attaches it.
    pub(super) async fn trace(&self, filter: TraceFilter) -> Result<Trace, Refusal> {
        let planned = self.ask(|reply| Question::PlanTrace(filter, reply)).await?;
        let Prepared { program, recording } = planned.load().await?;
        self.request(|reply| Request::BeginTrace(program, reply)).await?;
        Ok(recording.read())
    }

    /// Attaches the usual program again.
    pub(super) async fn end_trace(&self) {
        // An error means that the daemon is stopping, and does so itself.
        drop(self.request(Request::EndTrace).await);
    }

    /// Tells whether this node can be active for groups, if this many services must be able to serve.
    pub async fn readiness(&self, needed: usize) -> Result<Readiness, Refusal> {
        self.ask(|reply| Question::Readiness(needed, reply)).await
    }

    pub async fn overview(&self) -> Result<Overview, Refusal> {
        self.ask(Question::Overview).await
    }

    /// Returns the changed service, or None if it was removed.
    pub async fn change(
        &self,
        change: Change,
        by: Caller,
    ) -> Result<Versioned<Option<ServiceView>>, Refusal> {
        self.request(|reply| Request::Change(change, by, reply)).await
    }

    /// Returns the changes that a configuration file would make.
    pub async fn plan(&self, submission: Submission) -> Result<Plan, Refusal> {
        self.request(|reply| Request::Plan(submission, reply)).await
    }

    pub async fn apply(&self, submission: Submission) -> Result<Plan, Refusal> {
        self.request(|reply| Request::Apply(submission, reply)).await
    }

    /// Returns all versions, newest first.
    pub async fn history(&self) -> Result<Vec<VersionView>, Refusal> {
        self.request(Request::History).await
    }

    pub async fn version(&self, number: u64) -> Result<VersionDetail, Refusal> {
        self.request(|reply| Request::Version(number, reply)).await
    }

    /// Rolls back to this version, or to the one before the current one.
    pub async fn rollback(&self, to: Option<u64>, by: Caller) -> Result<Plan, Refusal> {
        self.request(|reply| Request::Rollback(to, by, reply)).await
    }

    /// Makes this node active or standby for a group.
    pub async fn change_role(
        &self,
        group: String,
        order: RoleOrder,
        by: Caller,
    ) -> Result<GroupView, Refusal> {
        self.request(|reply| Request::ChangeRole(group, order, by, reply)).await
    }

    async fn request<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Question) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.questions.send(question(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

fn stopping() -> Refusal {
    Refusal::Failed("the daemon is stopping".to_owned())
}
