//! Configured state: services, backends and health checks. No aya, no I/O.

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

/// Address, port and protocol that clients connect to.
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

/// Forwarding method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Full NAT: source and destination are rewritten, and replies come back through the balancer.
    #[default]
    Nat,
}

/// Selection of a backend for a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheduler {
    /// Backends in turn.
    #[default]
    #[serde(alias = "rr", alias = "wrr", alias = "roundrobin")]
    RoundRobin,
    /// The backend with fewer connections of two picked at random.
    #[serde(alias = "lc", alias = "wlc", alias = "leastconn")]
    LeastConnections,
    /// Maglev hashing of the client's address and port.
    #[serde(alias = "mh")]
    Maglev,
    /// Hash of the client's address.
    #[serde(alias = "sh")]
    SourceHash,
    /// Random backend.
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

/// Administrative state of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    #[default]
    Enabled,
    /// No new connections; existing ones continue; still checked.
    Draining,
    /// No new connections; existing ones continue; not checked.
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

/// Health of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No check has finished yet.
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

/// Type of health check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// TCP connection.
    #[default]
    Tcp,
    /// TLS handshake.
    Tls,
    /// HTTP request with an expected response.
    Http,
    /// HTTP over TLS.
    Https,
    /// Data to send and an expected answer.
    SendExpect,
    /// Program that exits with 0.
    Exec,
    /// No check: the backend counts as up.
    None,
}

/// Close of the connection at the end of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// RST, which leaves no state behind.
    #[default]
    Reset,
    /// FIN, for servers that log or count resets. Each check then leaves a port of this host in
    /// `TIME_WAIT` for a minute.
    Fin,
}

/// Settings of health checks. Those that a type of check does not use are omitted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HealthCheck {
    #[serde(rename = "type")]
    pub probe: Probe,
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// Replaces `interval` after a result that contradicts the current health.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub fast_interval: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Consecutive successes that bring a backend up.
    pub rise: u32,
    /// Consecutive failures that take a backend down.
    pub fall: u32,
    #[serde(flatten)]
    pub request: CheckRequest,
}

/// Target, request and expected answer of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// Address to check; default: that of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Port to check; default: that of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Default: [`Close::Reset`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close: Option<Close>,
    /// HTTP; default: [`Self::METHOD`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// HTTP; default: [`Self::PATH`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// HTTP: `Host` header; default: the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// HTTP: accepted status codes and ranges, such as `200-299,401`; default: [`Self::STATUS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// HTTP, send-expect: regular expression that the response body or the answer must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// HTTP, send-expect: literal text that the body or the answer must contain, instead of
    /// `expect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// send-expect: data to send, with escapes as in `PING\\r\\n`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// TLS: verify the server's certificate; default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
    /// TLS: server name for SNI and verification; default: `host`, or the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// TLS: PEM file of trusted certificates instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// TLS: PEM file of the client certificate chain; `key` has its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// exec: program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

impl HealthCheck {
    /// Fills in the defaults that this type of check uses.
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

    /// Removes values that equal the defaults, so that equivalent checks compare equal.
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

/// Lifetime of an idle connection, by its TCP state.
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
    /// Share of new connections; with 0, none, but existing ones continue.
    pub weight: u16,
    /// True if used only when too few other backends are available.
    pub backup: bool,
    pub admin: Admin,
    /// End of draining, when the remaining connections are reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_until: Option<Timestamp>,
}

/// Settings of a service that have defaults.
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
    /// Fills in the defaults.
    #[must_use]
    pub fn effective(&self) -> Self {
        Self { health: self.health.effective(), ..self.clone() }
    }
}

/// Settings for backends that go down and come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failover {
    /// Minimum number of backends that take connections: below it, backups are added one by one.
    pub min_active: u32,
    /// Minimum weight of the backends that take connections, as a share of the weight of all
    /// backends that are not backups: below it, backups are added one by one.
    pub min_capacity: Percent,
    /// If less than this share of backends is up, health checks are ignored and all backends are
    /// used.
    pub fail_open: Percent,
    pub failback: Failback,
    /// Time in which a backend that comes back gets to its full weight.
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

/// Return of a backend that was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Failback {
    /// As soon as it is up again.
    #[default]
    Auto,
    /// By `xdplb backend enable` if backups have taken its place, or when no other backend is left.
    Manual,
}

/// Handling of the connections of a backend that goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDown {
    /// They continue, as the check may be wrong.
    #[default]
    Keep,
    /// The client's next packet is answered with a reset, so that it reconnects.
    Reset,
}

/// Handling of a new connection that its backend refuses with a reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRefused {
    /// If another backend takes connections, the reset is dropped, and the client's next SYN, a
    /// second later, goes to another backend; the third reset is passed on.
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
    /// Returns true if a part of a whole is less than this.
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
        valid.ok_or_else(|| format!("`{text}` is not a share: write 0% to 100%, as in \"30%\""))
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
    /// Returns true if its administrative state and weight allow new connections.
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

    /// Removes values of the check that equal the defaults, which older versions stored.
    pub fn normalize(&mut self) {
        let request = &mut self.policy.health.request;
        *request = std::mem::take(request).normalized();
    }

    /// Copies the administrative state of backends from the other service.
    pub fn keep_orders_of(&mut self, other: &Self) {
        let known: HashMap<_, _> = other.backends.iter().map(|one| (one.address, one)).collect();
        for backend in &mut self.backends {
            if let Some(known) = known.get(&backend.address) {
                (backend.admin, backend.drain_until) = (known.admin, known.drain_until);
            }
        }
    }
}

/// Returns true if a host on a network can have this address.
#[must_use]
pub fn is_of_a_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast)
}
