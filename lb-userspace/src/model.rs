//! What an operator wants: services, their backends and how those are checked. No aya, no I/O.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use jiff::Timestamp;
use lb_common::schedule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::patterns;

/// Transport protocol of a service.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
}

/// Where clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vip {
    pub address: SocketAddr,
    pub protocol: Protocol,
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// How packets reach a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Full NAT: source and destination are rewritten, replies come back through the balancer.
    #[default]
    Nat,
}

/// How a new connection's backend is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduler {
    /// In turn.
    #[default]
    #[serde(alias = "rr", alias = "wrr", alias = "roundrobin")]
    RoundRobin,
    /// The one with fewer connections of two picked at random.
    #[serde(alias = "lc", alias = "wlc", alias = "leastconn")]
    LeastConnections,
    /// By the client's address and port.
    #[serde(alias = "mh")]
    Maglev,
    /// By the client's address.
    #[serde(alias = "sh")]
    SourceHash,
    /// At random.
    Random,
}

impl From<Scheduler> for schedule::Scheduler {
    fn from(scheduler: Scheduler) -> Self {
        match scheduler {
            Scheduler::RoundRobin => Self::RoundRobin,
            Scheduler::LeastConnections => Self::LeastConnections,
            Scheduler::Maglev => Self::Maglev,
            Scheduler::SourceHash => Self::SourceHash,
            Scheduler::Random => Self::Random,
        }
    }
}

/// What the operator has ordered for a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    #[default]
    Enabled,
    /// No new connections; known ones go on; still checked.
    Draining,
    /// No new connections; known ones go on; not checked.
    Disabled,
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        })
    }
}

/// What the health check says of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No check has ended yet.
    #[default]
    Unknown,
    Up,
    Down,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// What a probe does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// A TCP connection that is accepted.
    #[default]
    Tcp,
    /// A TLS handshake.
    Tls,
    /// A request, answered as expected.
    Http,
    /// The same over TLS.
    Https,
    /// Bytes that are sent, and bytes that must come.
    SendExpect,
    /// A program that ends with 0.
    Exec,
    /// No probe: the backend counts as up.
    None,
}

/// How a check ends its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// By a reset, which leaves nothing behind.
    #[default]
    Reset,
    /// By a FIN, for servers that log or count resets. Each check then leaves a port of this host's in
    /// `TIME_WAIT` for a minute.
    Fin,
}

/// How backends are checked. What a kind of probe has no use for is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HealthCheck {
    #[serde(rename = "type")]
    pub probe: Probe,
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Instead of `interval` while the health may be about to change.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub fast_interval: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Successes in a row that bring a backend that was down up again.
    pub rise: u32,
    /// Failures in a row that take a backend that was up down.
    pub fall: u32,
    #[serde(flatten)]
    pub request: CheckRequest,
}

/// What probes ask, whom, and what they expect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// Where to ask, if not at the backend's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The port to ask at, if not the backend's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// By a reset if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<Close>,
    /// HTTP: [`Self::METHOD`] if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// HTTP: [`Self::PATH`] if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// HTTP: the header `Host`, if not the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// HTTP: status codes and ranges, as in `200-299,401`; [`Self::STATUS`] if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// HTTP: a regular expression that the body must match; send-expect: that the answer must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// Instead of `expect`: text that must be in the body or the answer just as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// send-expect: what to send, with escapes as in `PING\\r\\n`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// TLS: whether the certificate must be valid; it must if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
    /// TLS: the name that the certificate is for, if not `host` or the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// TLS: a file of certificates (PEM) to trust, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// TLS: files of our own certificate and key (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// exec: a program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

impl HealthCheck {
    /// With the values that hold where nothing is set, as far as this type of check uses them.
    #[must_use]
    pub fn effective(&self) -> Self {
        let Self { probe, request, .. } = self;
        let is_http = matches!(probe, Probe::Http | Probe::Https);
        let is_tls = matches!(probe, Probe::Tls | Probe::Https);
        let is_connected = is_http || is_tls || matches!(probe, Probe::Tcp | Probe::SendExpect);
        let text = |value: &Option<String>, default: &str| {
            value.clone().or_else(|| is_http.then(|| default.to_owned()))
        };
        let request = CheckRequest {
            close: request.close.or(is_connected.then(Close::default)),
            method: text(&request.method, CheckRequest::METHOD),
            path: text(&request.path, CheckRequest::PATH),
            status: text(&request.status, CheckRequest::STATUS),
            verify: request.verify.or(is_tls.then_some(true)),
            ..request.clone()
        };
        Self { request, ..self.clone() }
    }
}

impl CheckRequest {
    pub const METHOD: &str = "GET";
    pub const PATH: &str = "/";
    pub const STATUS: &str = "200-399";

    /// Without values that are what holds anyway: two ways to write a check are one check.
    #[must_use]
    pub fn normalized(self) -> Self {
        let unless = |value: Option<String>, default: &str| value.filter(|value| value != default);
        Self {
            close: self.close.filter(|close| *close != Close::default()),
            method: unless(self.method, Self::METHOD),
            path: unless(self.path, Self::PATH),
            status: unless(self.status, Self::STATUS),
            verify: self.verify.filter(|is_verified| !is_verified),
            ..self
        }
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            probe: Probe::Tcp,
            interval: Duration::from_secs(2),
            fast_interval: None,
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            request: CheckRequest::default(),
        }
    }
}

/// How long an idle connection is remembered, by its TCP state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    #[serde(with = "humantime_serde")]
    pub half_open: Duration,
    #[serde(with = "humantime_serde")]
    pub established: Duration,
    #[serde(with = "humantime_serde")]
    pub closing: Duration,
    #[serde(with = "humantime_serde")]
    pub closed: Duration,
}

impl Default for Timeouts {
    /// `established` outlasts the two hours after which TCP keepalive sends its first probe
    /// (RFC 9293, section 3.8.4); `closed` is Linux's `TIME_WAIT`.
    fn default() -> Self {
        Self {
            half_open: Duration::from_secs(10),
            established: Duration::from_hours(3),
            closing: Duration::from_mins(2),
            closed: Duration::from_mins(1),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    pub address: SocketAddr,
    /// Its share of new connections; with 0 it gets none, and keeps those that it has.
    pub weight: u16,
    /// Takes traffic only when the others are too few.
    pub backup: bool,
    pub admin: Admin,
    /// When draining ends: what is left of its connections is reset then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_until: Option<Timestamp>,
}

/// What of a service has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub mode: Mode,
    pub scheduler: Scheduler,
    pub health: HealthCheck,
    pub timeouts: Timeouts,
    #[serde(flatten)]
    pub failover: Failover,
}

impl Policy {
    /// With the values that hold where nothing is set.
    #[must_use]
    pub fn effective(&self) -> Self {
        Self { health: self.health.effective(), ..self.clone() }
    }
}

/// What happens when backends go down and come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failover {
    /// Backups join, one after the other, while fewer backends than this take connections.
    pub min_active: u32,
    /// Backups join as well while those that take connections have less than this share of the
    /// weight of all that are no backups.
    pub min_capacity: Percent,
    /// When less than this share of backends is up, the check is not believed, and all are used.
    pub fail_open: Percent,
    pub failback: Failback,
    /// How long a backend that comes back takes to get its whole share.
    #[serde(with = "humantime_serde")]
    pub slow_start: Duration,
    pub on_down: OnDown,
    pub on_refused: OnRefused,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            min_active: 1,
            min_capacity: Percent::default(),
            fail_open: Percent::default(),
            failback: Failback::default(),
            slow_start: Duration::ZERO,
            on_down: OnDown::default(),
            on_refused: OnRefused::default(),
        }
    }
}

/// When a backend that was down takes connections again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Failback {
    /// When its check says that it is up.
    #[default]
    Auto,
    /// When `xdplb backend enable` says so, if backups have taken its place; or when no other backend
    /// is left.
    Manual,
}

/// What becomes of a backend's connections when it goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDown {
    /// They go on, as the check may be wrong.
    #[default]
    Keep,
    /// The client's next packet is answered by a reset, so that it connects again.
    Reset,
}

/// What becomes of a new connection that its backend refuses by a reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRefused {
    /// If another backend takes connections, the client is not told, and its next SYN, a second later,
    /// goes there; the third refusal is passed on.
    #[default]
    Retry,
    /// The reset is passed on to the client.
    Pass,
}

/// 0 to 100, written as in `30%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u8);

impl Percent {
    /// Whether a part of a whole is less than this.
    #[must_use]
    pub fn exceeds(self, part: u64, whole: u64) -> bool {
        part * 100 < whole * u64::from(self.0)
    }

    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.strip_suffix('%').map(str::trim_end).and_then(|text| text.parse().ok());
        let number = number.filter(|_| !text.starts_with('+'));
        let valid = number.filter(|number| *number <= 100).map(Self);
        valid.ok_or_else(|| format!("`{text}` is no share: write 0% to 100%, as in \"30%\""))
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "percent", "pattern": patterns::PERCENT })
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        format!("{}%", percent.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub vip: Vip,
    #[serde(flatten)]
    pub policy: Policy,
    /// In configured order.
    pub backends: Vec<Backend>,
}

impl Backend {
    /// Whether the operator has it take new connections.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.admin == Admin::Enabled && self.weight > 0
    }
}

impl Service {
    #[must_use]
    pub fn backend(&self, address: SocketAddr) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.address == address)
    }

    /// Has its check without values that are what holds anyway, which older versions kept.
    pub fn normalize(&mut self) {
        let request = &mut self.policy.health.request;
        *request = std::mem::take(request).normalized();
    }

    /// Gives its backends the orders that those of the other service have.
    pub fn keep_orders_of(&mut self, other: &Self) {
        let known: HashMap<_, _> = other.backends.iter().map(|one| (one.address, one)).collect();
        for backend in &mut self.backends {
            if let Some(known) = known.get(&backend.address) {
                (backend.admin, backend.drain_until) = (known.admin, known.drain_until);
            }
        }
    }
}

/// Whether a host on a network can have this address.
#[must_use]
pub fn is_of_a_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast)
}
