//! The file's keys. Each stands here once, with what it means.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{
    XdpMode,
    located::{HostAddress, Located, Period, Table, table},
    validate,
};
use crate::{
    model::{
        Close, Failback, Failover, Mode, OnDown, OnRefused, Percent, Probe, Scheduler, Timeouts,
    },
    patterns,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct File {
    /// Interfaces that packets of services come in by, from clients and from backends.
    #[schemars(required)]
    pub(super) interfaces: Option<Located<Vec<Located<String>>>>,
    /// Which XDP to have. When a running balancer changes from native to generic or back, packets are
    /// left to the host for a moment.
    pub(super) xdp_mode: Option<Located<XdpMode>>,
    /// Where the BPF file system is, for what outlives the daemon; mounted if it is not.
    #[schemars(regex(pattern = patterns::ABSOLUTE))]
    pub(super) bpffs: Option<Located<PathBuf>>,
    /// Source ports of full NAT, first and last. By default below what Linux gives to its own
    /// connections (`net.ipv4.ip_local_port_range`); `check` refuses ports that are the host's, too,
    /// unless they are in `net.ipv4.ip_local_reserved_ports`.
    pub(super) snat_ports: Option<Located<String>>,
    /// Source addresses of full NAT; each serves the interface that it is on.
    #[serde(default)]
    pub(super) snat_addresses: Vec<Located<String>>,
    /// Where the journal of changes, and what is known of backends, outlive the daemon; one daemon's
    /// own.
    #[schemars(regex(pattern = patterns::ABSOLUTE))]
    pub(super) state_dir: Option<Located<PathBuf>>,
    #[serde(default)]
    pub(super) api: Api,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) checks: Checks,
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(default)]
    pub(super) service: Vec<Located<Service>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Api {
    /// The unix socket that `xdplb` talks to the daemon by.
    #[schemars(regex(pattern = patterns::ABSOLUTE))]
    pub(super) socket: Option<Located<PathBuf>>,
    /// Not used by this version.
    pub(super) http: Option<Located<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Limits {
    /// Connections that the flow table has room for, 1 to 16000000, at 256 bytes of kernel memory
    /// each, taken for good when the daemon starts. A running table keeps its size: another one
    /// needs `xdplb detach` first, which ends all connections.
    #[schemars(range(min = 1, max = validate::MOST_FLOWS))]
    pub(super) flows: Option<Located<u64>>,
    /// Services that the maps have room for, up to 100000. Changes as that of `flows` does.
    #[schemars(range(min = 1, max = validate::MOST_SERVICES))]
    pub(super) services: Option<Located<u64>>,
    /// Backends of all services together that the maps have room for, and those that are gone but
    /// still have connections; up to 1000000, at 64 bytes each and 40 for each CPU. Changes as that
    /// of `flows` does.
    #[schemars(range(min = 1, max = validate::MOST_BACKENDS))]
    pub(super) backends: Option<Located<u64>>,
    /// Resets that each CPU sends a second, at most; frames that ask for more are dropped.
    #[schemars(range(min = 1, max = validate::MOST_RESETS))]
    pub(super) resets: Option<Located<u64>>,
}

/// What health checks may do on this host. Only root changes it: the daemon refuses a file with other
/// values from anybody else.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Checks {
    /// The user of /etc/passwd that the programs of `exec` checks run as: never root, nor one whose
    /// group may use the daemon's socket.
    pub(super) user: Option<Located<String>>,
    /// Where files must lie that others than root name as `ca`, `certificate` or `key`. Nobody but root
    /// may have write access there.
    pub(super) tls_directories: Option<Located<Vec<Located<PathBuf>>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Defaults {
    #[serde(default)]
    pub(super) health: Health,
    #[serde(default)]
    pub(super) timeouts: Idle,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Service {
    /// Up to 63 letters, digits, dots, underscores and hyphens.
    #[schemars(required)]
    #[schemars(regex(pattern = patterns::NAME))]
    pub(super) name: Option<Located<String>>,
    /// Where clients connect to: `ADDRESS:PORT`, at which no server of this host listens.
    #[schemars(required)]
    #[schemars(regex(pattern = patterns::VIP))]
    pub(super) vip: Option<Located<String>>,
    /// How packets reach a backend.
    pub(super) mode: Option<Mode>,
    /// How a new connection's backend is picked.
    pub(super) scheduler: Option<Scheduler>,
    #[serde(default)]
    pub(super) health: Health,
    #[serde(default)]
    pub(super) timeouts: Idle,
    /// Backups join, one after the other, while fewer backends than this take connections.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) min_active: Option<Located<u32>>,
    /// Backups join as well while those that take connections have less than this share of the
    /// weight of all that are no backups, as in "50%".
    pub(super) min_capacity: Option<Percent>,
    /// When less than this share of backends is up, as in "30%", health checks are ignored, and
    /// all are used.
    pub(super) fail_open: Option<Percent>,
    /// When a backend that was down takes connections again.
    pub(super) failback: Option<Failback>,
    /// How long a backend that was down, drained or disabled takes to get its whole share when it comes
    /// back, in ten steps.
    #[schemars(regex(pattern = patterns::PERIOD_OR_NONE))]
    pub(super) slow_start: Option<Located<Period>>,
    /// What becomes of a backend's connections when it goes down.
    pub(super) on_down: Option<OnDown>,
    /// What becomes of a new connection that its backend refuses by a reset.
    pub(super) on_refused: Option<OnRefused>,
    #[serde(default)]
    pub(super) backend: Vec<Located<Backend>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Backend {
    /// `ADDRESS:PORT`.
    #[schemars(required)]
    #[schemars(regex(pattern = patterns::ADDRESS))]
    pub(super) address: Option<Located<String>>,
    /// Its share of new connections, beside the others' weights: 0 to 65535. With 0 it takes no new
    /// connections; those that it has continue.
    #[schemars(range(min = 0, max = 65_535))]
    pub(super) weight: Option<Located<i64>>,
    /// Whether it takes connections only when no other backend can.
    #[serde(default)]
    pub(super) backup: bool,
}

/// Health checks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Health {
    /// What a check asks for.
    pub(super) r#type: Option<Located<Probe>>,
    /// From the beginning of one check to that of the next.
    pub(super) interval: Option<Located<Period>>,
    /// The same while the health may be about to change.
    pub(super) fast_interval: Option<Located<Period>>,
    /// How long one check may take.
    pub(super) timeout: Option<Located<Period>>,
    /// Successes in a row that bring a backend back.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) rise: Option<Located<u32>>,
    /// Failures in a row that take a backend out.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) fall: Option<Located<u32>>,
    /// Where to ask, if not at the backend's own address.
    pub(super) address: Option<Located<HostAddress>>,
    /// The port to ask at, if not the backend's own.
    #[schemars(range(min = 1, max = 65_535))]
    pub(super) port: Option<Located<u16>>,
    /// How a check ends its connection.
    pub(super) close: Option<Located<Close>>,
    /// HTTP: the method; GET if it is left out.
    #[schemars(regex(pattern = patterns::METHOD))]
    pub(super) method: Option<Located<String>>,
    /// HTTP: the path; / if it is left out.
    #[schemars(regex(pattern = patterns::REQUEST_PATH))]
    pub(super) path: Option<Located<String>>,
    /// HTTP: the header Host, if not the address.
    pub(super) host: Option<Located<String>>,
    /// HTTP: status codes and ranges, as in "200-299,401"; "200-399" if it is left out.
    #[schemars(regex(pattern = patterns::STATUS))]
    pub(super) status: Option<Located<String>>,
    /// HTTP: a regular expression that the body must match; send-expect: that the answer must.
    /// It may have 4 KiB, and take 64 KiB when compiled.
    #[schemars(length(max = 4096))]
    pub(super) expect: Option<Located<String>>,
    /// Instead of `expect`: text that must be in the body or the answer just as it is;
    /// 64 KiB at most.
    pub(super) contains: Option<Located<String>>,
    /// send-expect: what to send, with escapes as in `'PING\r\n'`. It may be a password: commands,
    /// the API and the log show `(hidden)` instead.
    #[schemars(regex(pattern = patterns::ESCAPED))]
    pub(super) send: Option<Located<String>>,
    /// TLS: whether the certificate must be valid; it must if this is left out. If it need not, any is
    /// taken, of whatever kind. In any case servers must speak TLS 1.3, or TLS 1.2 with ECDHE and an AEAD
    /// cipher (AES-GCM or ChaCha20-Poly1305); with keys for RSA-PSS only or for Ed448, TLS 1.3.
    pub(super) verify: Option<Located<bool>>,
    /// TLS: the name that the certificate is for, if not the host or the address.
    pub(super) sni: Option<Located<String>>,
    /// TLS: a file of certificates (PEM) to trust, instead of the system's: of authorities, or the
    /// server's own, self-signed one. Read again when it changes, as `certificate` and `key` are.
    pub(super) ca: Option<Located<PathBuf>>,
    /// TLS: a file of our own certificates (PEM), if servers ask for one.
    pub(super) certificate: Option<Located<PathBuf>>,
    /// TLS: a file of the key to that (PEM).
    pub(super) key: Option<Located<PathBuf>>,
    /// exec: a program and its arguments; only root may name one. It runs as `checks.user`, in `/`,
    /// without other groups, capabilities or open files, and finds the backend's address and port in
    /// `XDPLB_ADDRESS` and `XDPLB_PORT`; its environment has no more than these and `PATH`. When it
    /// ends or its time is up, its process group is killed. Do not put passwords in arguments, which
    /// every user of the host can read. The last line of its output is shown with the result. What needs more than an ordinary user has does not work: programs that are
    /// set-uid or have file capabilities (`sudo`, some `ping`s) run without them, raw sockets cannot
    /// be opened, and files that `checks.user` may not read, such as keys, cannot be read.
    #[schemars(length(min = 1))]
    pub(super) command: Option<Located<Vec<String>>>,
}

/// How long an idle connection is remembered, by its state.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Idle {
    /// Before the handshake has ended.
    pub(super) half_open: Option<Located<Period>>,
    /// Between the handshake and the first FIN. More than the two hours of TCP keepalive.
    pub(super) established: Option<Located<Period>>,
    /// When one side has said that it sends no more.
    pub(super) closing: Option<Located<Period>>,
    /// When both have, or one has reset.
    pub(super) closed: Option<Located<Period>>,
}

/// Serde takes a list of values for a struct as well, which no file means.
macro_rules! only_as_tables {
    ($($name:ident),*) => {
        $(impl Table for $name {
            fn of_keys<'de, D: Deserializer<'de>>(keys: D) -> Result<Self, D::Error> {
                Self::deserialize(keys)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                table(deserializer)
            }
        })*
    };
}

only_as_tables!(File, Api, Limits, Checks, Defaults, Service, Backend, Health, Idle);

/// Keys of a table, dotted as seen from a service, and whether they are given.
macro_rules! given {
    ($table:expr, $prefix:literal, $($key:literal: $field:ident),* $(,)?) => {
        [$((concat!($prefix, $key), $table.$field.is_some())),*]
    };
}

type Given = (&'static str, bool);

impl Service {
    /// Which of its settings are given.
    pub(super) fn given(&self) -> impl Iterator<Item = Given> + use<> {
        let own = given!(self, "",
            "vip": vip, "mode": mode, "scheduler": scheduler, "min_active": min_active,
            "min_capacity": min_capacity, "fail_open": fail_open, "failback": failback,
            "slow_start": slow_start, "on_down": on_down, "on_refused": on_refused,
        );
        own.into_iter().chain(self.health.given()).chain(self.timeouts.given())
    }
}

impl Defaults {
    /// Which settings of services are given here.
    pub(super) fn given(&self) -> impl Iterator<Item = Given> + use<> {
        self.health.given().chain(self.timeouts.given())
    }
}

impl Health {
    fn given(&self) -> impl Iterator<Item = Given> + use<> {
        let keys = given!(self, "health.",
            "type": r#type, "interval": interval, "fast_interval": fast_interval,
            "timeout": timeout, "rise": rise, "fall": fall, "address": address, "port": port,
            "close": close, "method": method, "path": path, "host": host, "status": status,
            "expect": expect, "contains": contains, "send": send, "verify": verify, "sni": sni,
            "ca": ca, "certificate": certificate, "key": key, "command": command,
        );
        keys.into_iter()
    }
}

impl Idle {
    fn given(&self) -> impl Iterator<Item = Given> + use<> {
        let keys = given!(self, "timeouts.",
            "half_open": half_open, "established": established, "closing": closing,
            "closed": closed,
        );
        keys.into_iter()
    }
}

impl Service {
    /// What this says of failing over, and `base` where it says nothing.
    pub(super) fn failover_over(&self, base: &Failover) -> Failover {
        Failover {
            min_active: self.min_active.as_ref().map_or(base.min_active, |one| *one.get_ref()),
            min_capacity: self.min_capacity.unwrap_or(base.min_capacity),
            fail_open: self.fail_open.unwrap_or(base.fail_open),
            failback: self.failback.unwrap_or(base.failback),
            slow_start: or(self.slow_start.as_ref(), base.slow_start),
            on_down: self.on_down.unwrap_or(base.on_down),
            on_refused: self.on_refused.unwrap_or(base.on_refused),
        }
    }
}

impl Idle {
    pub(super) fn over(&self, base: Timeouts) -> Timeouts {
        Timeouts {
            half_open: or(self.half_open.as_ref(), base.half_open),
            established: or(self.established.as_ref(), base.established),
            closing: or(self.closing.as_ref(), base.closing),
            closed: or(self.closed.as_ref(), base.closed),
        }
    }
}

pub(super) fn or(period: Option<&Located<Period>>, base: Duration) -> Duration {
    period.map_or(base, |period| **period.get_ref())
}
