//! Health checks.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
