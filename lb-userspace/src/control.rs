//! What the API asks of the daemon's loop, and what it gets to see.

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

/// Something to do, and where the answer goes.
#[derive(Debug)]
pub enum Request {
    Status(Reply<Status>),
    Services(Reply<Versioned<Vec<ServiceView>>>),
    /// One service, with the origins of its settings.
    Service(String, Reply<Versioned<ServiceView>>),
    /// What runs.
    Running(Reply<Running>),
    Stats(Reply<Stats>),
    Connections(Option<String>, Reply<Listing>),
    /// The changed service, if it still is; by whom it is changed.
    Change(Change, Caller, Reply<Versioned<Option<ServiceView>>>),
    Plan(Submission, Reply<Plan>),
    Apply(Submission, Reply<Plan>),
    History(Reply<Vec<VersionView>>),
    Version(u64, Reply<VersionDetail>),
    /// To this version, or to the one before the present one.
    Rollback(Option<u64>, Caller, Reply<Plan>),
}

/// Who asks, by the credentials of the process at the other end of the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// For people, as in `alice (uid 1000, pid 4711)`.
    pub name: String,
    /// Whether it may name programs to run, and any file to read.
    pub is_root: bool,
    /// Whether VIPs are to be taken that servers of this host have, which only root may.
    pub forces: bool,
    /// Of which version the document must be.
    pub expected: Expected,
    /// Whether to check the change and show what it does, without doing it.
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

/// The versions that the document may have for a change to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Any,
    OneOf(Vec<u64>),
}

impl Expected {
    /// Refuses a change that was made for another version.
    pub fn refuse_stale(&self, present: u64) -> Result<(), Refusal> {
        match self {
            Self::OneOf(versions) if !versions.contains(&present) => Err(Refusal::Stale(format!(
                "the configuration has changed meanwhile, to version {present}: read it again, and \
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

/// The text of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// For people: where the text is from.
    pub path: String,
    pub text: String,
}

/// Room that the body of a request takes up, until nothing holds any of it.
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

/// The text of a configuration file, by whom it was sent, and its room.
#[derive(Debug)]
pub struct Submission {
    pub proposal: Proposal,
    pub by: Caller,
    pub room: Room,
}

/// What a change does, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Of the document: the present one, or the one that the change has made.
    pub version: u64,
    pub steps: Vec<Step>,
    /// Why the running daemon cannot do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What the change takes out of service.
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
    /// Nothing if the version before is not kept.
    pub steps: Option<Vec<Step>>,
    pub document: Document,
}

/// The settings of the daemon, without services, and the document.
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

/// What of a backend to set; the rest stays.
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
    /// When draining ends; only with `admin` as `draining`.
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

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotFound(String),
    Conflict(String),
    Invalid(String),
    /// Keys of the request have wrong values.
    InvalidKeys(String, Vec<KeyFault>),
    /// The document is not of the version that the request was made for.
    Stale(String),
    Failed(String),
    /// It may be carried out later.
    Busy(String),
}

/// What is wrong with a value in the body of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyFault {
    pub detail: String,
    /// Where the value is: a JSON pointer, as in `#/health/interval`.
    pub pointer: String,
}

/// A way to ask the loop.
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

    /// All connections, to be looked through without the loop; if only those of a service are
    /// wanted, it must be there.
    pub async fn connections(&self, service: Option<String>) -> Result<Listing, Refusal> {
        self.ask(|reply| Request::Connections(service, reply)).await
    }

    /// The service as it is after the change, if it still is.
    pub async fn change(
        &self,
        change: Change,
        by: Caller,
    ) -> Result<Versioned<Option<ServiceView>>, Refusal> {
        self.ask(|reply| Request::Change(change, by, reply)).await
    }

    /// What a configuration file would change.
    pub async fn plan(&self, submission: Submission) -> Result<Plan, Refusal> {
        self.ask(|reply| Request::Plan(submission, reply)).await
    }

    pub async fn apply(&self, submission: Submission) -> Result<Plan, Refusal> {
        self.ask(|reply| Request::Apply(submission, reply)).await
    }

    /// The newest version first.
    pub async fn history(&self) -> Result<Vec<VersionView>, Refusal> {
        self.ask(Request::History).await
    }

    pub async fn version(&self, number: u64) -> Result<VersionDetail, Refusal> {
        self.ask(|reply| Request::Version(number, reply)).await
    }

    /// To this version, or to the one before the present one.
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

/// Keys, dotted as in the file, with their values, as in `health.rise 3`.
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
    /// All settings with their effective values, by the keys that a change takes. Those without a
    /// value are left out.
    #[serde(flatten)]
    #[schemars(schema_with = "settings_schema")]
    pub policy: Policy,
    /// The origin of each setting, by its key, dotted as in the file. Only of a service that is asked
    /// for by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, Origin>,
    /// What is wrong with the service at this moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The differences that a change makes, or would make. Only in answers to changes; none if nothing
    /// differs.
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
    /// Only of a service that is asked for by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    pub admin: Admin,
    /// When draining ends: what is left of its connections is reset then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_until: Option<Timestamp>,
    pub health: Health,
    /// When its health last changed.
    pub since: Timestamp,
    /// The result of the last check, or why packets cannot reach it.
    pub detail: String,
    /// Nothing while it is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<CheckView>,
    /// Why it cannot take new connections. Nothing if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// Whether it takes new connections now. A backup that can, and does not, stands by.
    pub in_ring: bool,
    /// Its weight at this moment: less in a slow start, 0 while it takes no new connections.
    #[serde(default)]
    pub effective_weight: f64,
    /// How much of its weight it has, in percent, while it comes back slowly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<u8>,
    /// Whether it has refused its last connections, and is passed over until a check or a connection
    /// finds it well.
    #[serde(default)]
    pub refusing: bool,
    /// Connections that are not closed.
    pub active_connections: u64,
    pub connections_total: u64,
    /// IP packets and bytes in both directions.
    pub packets_total: u64,
    pub bytes_total: u64,
}

/// The last check of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckView {
    /// When it ended.
    pub at: Timestamp,
    /// Nothing if it could not be carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    pub result: String,
    /// Results in a row that contradict the health.
    pub contrary: u32,
    /// How many of them change it.
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
    /// Those that take new connections: others may be up, and drained or without a next hop.
    #[serde(default)]
    pub backends_in_use: usize,
    pub backends_total: usize,
    pub warnings: Vec<String>,
    /// Why the last reload changed nothing. Left out once the daemon's own file has been loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_refused: Option<RefusedReload>,
}

/// A reload of the daemon's own file that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedReload {
    pub at: Timestamp,
    /// The first mistake; the daemon's log has all.
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

/// What has become of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    Up,
    /// Switched off, or without a carrier.
    Down,
    /// There is none of that name any more.
    Gone,
}

/// How the program really runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceMode {
    Native,
    Generic,
    /// Nothing of ours is attached.
    Detached,
}

/// How the host guard is attached to an interface, which keeps the services' TCP from the host's own
/// stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuardHook {
    /// By a TCX link, from Linux 6.6 on.
    Tcx,
    /// By a filter of a clsact qdisc.
    Clsact,
    Detached,
}

/// The flow table, in connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowsView {
    pub capacity: u64,
    /// Bytes of memory that the table takes, however many connections there are.
    pub bytes: u64,
    /// Those in any state, and half a one for each port that rests.
    pub entries: u64,
    /// Those that a backend has refused among them.
    pub half_open: u64,
    /// Those whose client has ended the handshake, and whose backend has sent nothing since.
    pub answered: u64,
    pub established: u64,
    pub closing: u64,
    pub closed: u64,
    /// Source ports whose client has opened another connection before the time-out of the closed one.
    pub resting_ports: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// When these were read.
    pub at: Timestamp,
    pub packets: Vec<VerdictView>,
    pub services: Vec<ServiceStats>,
    pub port_clashes_total: u64,
    pub early_port_reuses_total: u64,
    /// What else was noticed, by name.
    pub incidents: Vec<IncidentView>,
}

/// How often something was noticed that decides no packet's fate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentView {
    pub incident: String,
    pub total: u64,
}

/// Frames that met one end.
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
    /// Whether the service was removed, and connections of it are left.
    #[serde(default, skip_serializing_if = "is_false")]
    pub removed: bool,
    pub backends: Vec<BackendStats>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// "In" is from clients, "out" is to clients; bytes are IP bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendStats {
    pub address: SocketAddr,
    /// Connections that are left, of one that was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_left: Option<u64>,
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}
