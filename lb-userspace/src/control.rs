//! Requests of the API to the daemon's loop, and their answers.

use std::{any::Any, collections::BTreeMap, fmt, net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::{
    config::{self, Config, Origin, reference},
    connections::Listing,
    desired::{Document, Step},
    model::{Admin, Backend, Health, Policy, Protocol},
    secrets::shown_of,
};

/// A request, with the channel for its answer.
#[derive(Debug)]
pub enum Request {
    Status(Reply<Status>),
    Services(Reply<Versioned<Vec<ServiceView>>>),
    /// A service by its name, with the origins of its settings.
    Service(String, Reply<Versioned<ServiceView>>),
    /// Running settings and services.
    Running(Reply<Running>),
    Stats(Reply<Stats>),
    Connections(Option<String>, Reply<Listing>),
    /// Answered with the changed service, unless it was removed.
    Change(Change, Caller, Reply<Versioned<Option<ServiceView>>>),
    Plan(Submission, Reply<Plan>),
    Apply(Submission, Reply<Plan>),
    History(Reply<Vec<VersionView>>),
    Version(u64, Reply<VersionDetail>),
    /// Rolls back to this version, or to the one before the current one.
    Rollback(Option<u64>, Caller, Reply<Plan>),
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
}

impl Expected {
    /// Returns an error if the change was made for another version.
    pub fn refuse_stale(&self, present: u64) -> Result<(), Refusal> {
        match self {
            Self::OneOf(versions) if !versions.contains(&present) => Err(Refusal::Stale(format!(
                "the configuration has since changed to version {present}: read it again, and \
                 send the change with its new ETag"
            ))),
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

/// Text of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Path of the file, for messages.
    pub path: String,
    pub text: String,
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

/// Result of a change or a dry run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Version of the current document, or of the one that the change has created.
    pub version: u64,
    pub steps: Vec<Step>,
    /// Reason why the running daemon cannot apply the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Effects of the change that interrupt a service, and VIPs that receive no packets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A version of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    pub version: u64,
    pub at: Timestamp,
    pub by: String,
    pub what: String,
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

/// Keys of the file's `[[service]]`, with their values.
pub type Keys = serde_json::Map<String, serde_json::Value>;

#[derive(Clone, Debug)]
pub enum Change {
    AddService { name: String, keys: Keys },
    SetService { name: String, keys: Keys },
    RemoveService { name: String },
    AddBackend { service: String, backend: Backend },
    SetBackend { service: String, address: SocketAddr, settings: Settings },
    RemoveBackend { service: String, address: SocketAddr },
}

/// Settings of a backend to change; others stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = until_is_for_draining)]
pub struct Settings {
    #[serde(
        default,
        deserialize_with = "config::deserialize_some_weight",
        skip_serializing_if = "Option::is_none"
    )]
    pub weight: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// End of draining; only valid if `admin` is `draining`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

fn until_is_for_draining(schema: &mut Schema) {
    let draining = serde_json::json!({
        "required": ["admin"],
        "properties": { "admin": { "const": "draining" } },
    });
    let condition = serde_json::json!({
        "required": ["until"],
        "properties": { "until": { "type": "string" } },
    });
    schema.insert("if".to_owned(), condition);
    schema.insert("then".to_owned(), draining);
}

/// Error of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound(String),
    Conflict(String),
    Invalid(String),
    /// Keys of the request have invalid values.
    InvalidKeys(String, Vec<KeyFault>),
    /// The document has another version than the request was made for.
    Stale(String),
    Failed(String),
    /// The request may succeed later.
    Busy(String),
}

/// An invalid value in the body of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyFault {
    pub detail: String,
    /// JSON pointer to the value, such as `#/health/interval`.
    pub pointer: String,
}

/// Sends requests to the loop.
#[derive(Clone, Debug)]
pub struct Handle(mpsc::Sender<Request>);

#[must_use]
pub fn channel(backlog: usize) -> (Handle, mpsc::Receiver<Request>) {
    let (sender, receiver) = mpsc::channel(backlog);
    (Handle(sender), receiver)
}

impl Handle {
    pub async fn status(&self) -> Result<Status, Refusal> {
        self.ask(Request::Status).await
    }

    pub async fn services(&self) -> Result<Versioned<Vec<ServiceView>>, Refusal> {
        self.ask(Request::Services).await
    }

    pub async fn service(&self, name: String) -> Result<Versioned<ServiceView>, Refusal> {
        self.ask(|reply| Request::Service(name, reply)).await
    }

    pub async fn running(&self) -> Result<Running, Refusal> {
        self.ask(Request::Running).await
    }

    pub async fn stats(&self) -> Result<Stats, Refusal> {
        self.ask(Request::Stats).await
    }

    /// Returns a listing of all connections, to read outside the loop, or an error if the given
    /// service does not exist.
    pub async fn connections(&self, service: Option<String>) -> Result<Listing, Refusal> {
        self.ask(|reply| Request::Connections(service, reply)).await
    }

    /// Returns the changed service, or None if it was removed.
    pub async fn change(
        &self,
        change: Change,
        by: Caller,
    ) -> Result<Versioned<Option<ServiceView>>, Refusal> {
        self.ask(|reply| Request::Change(change, by, reply)).await
    }

    /// Returns the changes that a configuration file would make.
    pub async fn plan(&self, submission: Submission) -> Result<Plan, Refusal> {
        self.ask(|reply| Request::Plan(submission, reply)).await
    }

    pub async fn apply(&self, submission: Submission) -> Result<Plan, Refusal> {
        self.ask(|reply| Request::Apply(submission, reply)).await
    }

    /// Returns all versions, newest first.
    pub async fn history(&self) -> Result<Vec<VersionView>, Refusal> {
        self.ask(Request::History).await
    }

    pub async fn version(&self, number: u64) -> Result<VersionDetail, Refusal> {
        self.ask(|reply| Request::Version(number, reply)).await
    }

    /// Rolls back to this version, or to the one before the current one.
    pub async fn rollback(&self, to: Option<u64>, by: Caller) -> Result<Plan, Refusal> {
        self.ask(|reply| Request::Rollback(to, by, reply)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let stopping = || Refusal::Failed("the daemon is stopping".to_owned());
        self.0.send(request(sender)).await.map_err(|_| stopping())?;
        receiver.await.map_err(|_| stopping())?
    }
}

impl Change {
    #[must_use]
    pub fn service(&self) -> &str {
        match self {
            Self::AddService { name: service, .. }
            | Self::SetService { name: service, .. }
            | Self::RemoveService { name: service }
            | Self::AddBackend { service, .. }
            | Self::SetBackend { service, .. }
            | Self::RemoveBackend { service, .. } => service,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddService { name, .. } => write!(f, "{name} added"),
            Self::RemoveService { name } => write!(f, "{name} removed"),
            Self::SetService { name, keys } => {
                let mut words = Vec::new();
                describe("", keys, &mut words);
                write!(f, "{name} set to {}", words.join(", "))
            }
            Self::AddBackend { service, backend } => {
                write!(f, "{service}: {} added with weight {}", backend.address, backend.weight)
            }
            Self::RemoveBackend { service, address } => write!(f, "{service}: {address} removed"),
            Self::SetBackend { service, address, settings } => {
                write!(f, "{service}: {address} set to {settings}")
            }
        }
    }
}

/// Adds keys, dotted as in the file, with their values, as in `health.rise 3`.
fn describe(prefix: &str, keys: &Keys, words: &mut Vec<String>) {
    for (key, value) in keys {
        let key = format!("{prefix}{key}");
        match shown_of(&key, value) {
            Value::Object(table) => describe(&format!("{key}."), &table, words),
            value => words.push(format!("{key} {}", plain(&value))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "back to its default".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.weight.map(|weight| format!("weight {weight}")),
            self.backup.map(|backup| if backup { "backup" } else { "no backup" }.to_owned()),
            self.admin.as_ref().map(Admin::to_string),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl Refusal {
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::NotFound(detail)
            | Self::Conflict(detail)
            | Self::Invalid(detail)
            | Self::InvalidKeys(detail, _)
            | Self::Stale(detail)
            | Self::Failed(detail)
            | Self::Busy(detail) => detail,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView {
    pub name: String,
    pub vip: SocketAddr,
    pub protocol: Protocol,
    /// All settings with their effective values, by the keys of a change. Those without a value are
    /// omitted.
    #[serde(flatten)]
    #[schemars(schema_with = "settings_schema")]
    pub policy: Policy,
    /// Origin of each setting, by its key, dotted as in the file. Only present in a request for
    /// this service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, Origin>,
    /// Current problems of the service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Changes made by the request, or that a dry run would make. Only in answers to changes; empty
    /// if nothing changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// In configured order.
    pub backends: Vec<BackendView>,
}

fn settings_schema(_: &mut SchemaGenerator) -> Schema {
    reference::settings_of_service()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackendView {
    pub address: SocketAddr,
    pub weight: u16,
    pub backup: bool,
    /// Only present in a request for this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    pub admin: Admin,
    /// End of draining, when the remaining connections are reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_until: Option<Timestamp>,
    pub health: Health,
    /// Time of the last change of health.
    pub since: Timestamp,
    /// Result of the last check, or the reason why packets cannot reach the backend.
    pub detail: String,
    /// Absent while the backend is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<CheckView>,
    /// Reason why the backend cannot take new connections; absent if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// True if the backend currently takes new connections. A usable backup that takes none is on
    /// standby.
    pub in_ring: bool,
    /// Current weight: reduced during a slow start, 0 while the backend takes no new connections.
    #[serde(default)]
    pub effective_weight: f64,
    /// Share of its weight during a slow start, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<u8>,
    /// True if the backend refused its last connections and is skipped until a check or a
    /// connection succeeds.
    #[serde(default)]
    pub refusing: bool,
    /// Number of connections that are not closed.
    pub active_connections: u64,
    pub connections_total: u64,
    /// IP packets and bytes in both directions.
    pub packets_total: u64,
    pub bytes_total: u64,
}

/// The last check of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckView {
    /// Time when the check ended.
    pub at: Timestamp,
    /// Absent if the check could not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    pub result: String,
    /// Number of consecutive results that contradict the health.
    pub contrary: u32,
    /// Number of such results that change the health.
    pub needed: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub started: Timestamp,
    pub config: String,
    pub interfaces: Vec<InterfaceView>,
    pub flows: FlowsView,
    pub services: usize,
    pub backends_up: usize,
    /// Number of backends that take new connections. Others may be up, but drained or without a
    /// next hop.
    #[serde(default)]
    pub backends_in_use: usize,
    pub backends_total: usize,
    pub warnings: Vec<String>,
    /// Reason why the last reload changed nothing. Absent after the daemon's own file has been
    /// loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_refused: Option<RefusedReload>,
}

/// A reload of the daemon's own file that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedReload {
    pub at: Timestamp,
    /// First error; see the daemon's log for all errors.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceView {
    pub name: String,
    pub ifindex: u32,
    pub link: LinkState,
    pub mode: InterfaceMode,
    pub guard: GuardHook,
}

/// State of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    Up,
    /// Administratively down, or without carrier.
    Down,
    /// Removed or renamed.
    Gone,
}

/// Actual XDP mode on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceMode {
    Native,
    Generic,
    /// The program is not attached.
    Detached,
}

/// Attachment of the host guard, which keeps TCP packets of services from the host's own network
/// stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuardHook {
    /// TCX link, on Linux 6.6 or later.
    Tcx,
    /// Filter of a clsact qdisc.
    Clsact,
    Detached,
}

/// Usage of the flow table, in connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowsView {
    pub capacity: u64,
    /// Memory of the table in bytes, independent of the number of connections.
    pub bytes: u64,
    /// Connections in any state, plus one half for each port that is cooling down.
    pub entries: u64,
    /// Includes connections that a backend has refused.
    pub half_open: u64,
    /// Connections whose client has completed the handshake, and whose backend has sent nothing
    /// since.
    pub answered: u64,
    pub established: u64,
    pub closing: u64,
    pub closed: u64,
    /// Source ports whose client has opened another connection before the closed one timed out.
    pub cooling_ports: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Time of the reading.
    pub at: Timestamp,
    pub packets: Vec<VerdictView>,
    pub services: Vec<ServiceStats>,
    pub port_clashes_total: u64,
    pub early_port_reuses_total: u64,
    /// Incidents by name.
    pub incidents: Vec<IncidentView>,
}

/// Number of events that do not decide the verdict of a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentView {
    pub incident: String,
    pub total: u64,
}

/// Frames with the same verdict and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictView {
    pub verdict: String,
    pub reason: String,
    pub packets: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStats {
    pub name: String,
    pub vip: SocketAddr,
    /// True if the service was removed, but still has connections.
    #[serde(default, skip_serializing_if = "is_false")]
    pub removed: bool,
    pub backends: Vec<BackendStats>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Traffic of a backend: "in" is from clients, "out" is to clients; bytes are IP bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendStats {
    pub address: SocketAddr,
    /// Number of remaining connections, only for a removed backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_left: Option<u64>,
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}
