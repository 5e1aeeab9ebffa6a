//! Keys of the configuration file, with their documentation.

use std::{path::PathBuf, time::Duration};

use lb_model::{
    Close, Event, Failback, Failover, LineFormat, Mode, OnDown, OnRefused, Percent, Probe,
    Scheduler, Timeouts, Turns, XdpMode, patterns,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{
    located::{HostAddress, Located, Period, Table, table},
    validate,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct File {
    /// Interfaces that receive packets of services, from clients and from backends.
    #[schemars(required)]
    pub(super) interfaces: Option<Located<Vec<Located<String>>>>,
    /// XDP mode. When a running balancer changes between native and generic mode, packets go to the
    /// host for a moment.
    pub(super) xdp_mode: Option<Located<XdpMode>>,
    /// Mount point of the BPF file system, for programs and maps that outlive the daemon. Mounted
    /// if it is not.
    #[schemars(regex(pattern = patterns::ABSOLUTE))]
    pub(super) bpffs: Option<Located<PathBuf>>,
    /// Range of source ports for full NAT. The default is below the ports that Linux uses for its
    /// own connections (`net.ipv4.ip_local_port_range`); `check` rejects ports in that range unless
    /// they are in `net.ipv4.ip_local_reserved_ports`.
    pub(super) snat_ports: Option<Located<String>>,
    /// Source addresses for full NAT, each used on the interface that has it.
    #[serde(default)]
    pub(super) snat_addresses: Vec<Located<String>>,
    /// Directory of the journal of changes and the last known health of backends. Each daemon needs
    /// its own.
    #[schemars(regex(pattern = patterns::ABSOLUTE))]
    pub(super) state_dir: Option<Located<PathBuf>>,
    #[serde(default)]
    pub(super) pair: Pair,
    #[serde(default)]
    pub(super) group: Vec<Located<Group>>,
    #[serde(default)]
    pub(super) api: Api,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) checks: Checks,
    #[serde(default)]
    pub(super) notify: Vec<Located<Notify>>,
    pub(super) connection_log: Option<Located<ConnectionLog>>,
    #[serde(default)]
    pub(super) defaults: Defaults,
    #[serde(default)]
    pub(super) service: Vec<Located<Service>>,
}

/// Two balancers, of which one is active for each `[[group]]`. Changed by a restart.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Pair {
    /// Time for which a node stays active when its daemon is killed or frozen, 300ms to 1m: the other node must
    /// not take over earlier. After a stop it is 10 seconds at least, for a restart.
    #[schemars(regex(pattern = patterns::PERIOD))]
    pub(super) lease: Option<Located<Period>>,
}

/// Addresses that one of two nodes serves at a time, up to 63 groups: the nodes have the same groups, and each is
/// active for some of them, by `xdplb pair promote` and `demote`, which keepalived calls. For the others it is
/// standby: it forwards nothing of them, and answers no ARP request for their addresses. If there are groups, each
/// service is in the one that has its VIP. Changed by a restart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Group {
    /// Name of up to 63 letters, digits, dots, underscores and hyphens.
    #[schemars(required)]
    #[schemars(regex(pattern = patterns::NAME))]
    pub(super) name: Option<Located<String>>,
    /// Addresses of services, which are on the active node.
    #[schemars(required)]
    #[schemars(length(min = 1))]
    pub(super) vips: Option<Located<Vec<Located<String>>>>,
    /// Source addresses for full NAT of the services' connections, which are on the active node, too: so replies
    /// go there. Used on the interface that has them; on any, if none has.
    #[schemars(required)]
    #[schemars(length(min = 1))]
    pub(super) snat_addresses: Option<Located<Vec<Located<String>>>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Api {
    /// Unix socket of the daemon, for the `xdplb` command.
    #[schemars(regex(pattern = patterns::ABSOLUTE))]
    pub(super) socket: Option<Located<PathBuf>>,
    /// Address and port of the status page, `/metrics` for Prometheus, `/healthz` and `/readyz`, over HTTP,
    /// read-only, as in `127.0.0.1:9370`. Not served if omitted. Other hosts can only reach an address that
    /// is not loopback, which needs an `http_token`.
    pub(super) http: Option<Located<String>>,
    /// Clients of `http` must send it, as in `Authorization: Bearer TOKEN`, or as the password of any user,
    /// which a browser asks for: at least 16 letters, digits and `-._~+/=`. Commands, the API and the log
    /// show `(hidden)` instead.
    pub(super) http_token: Option<Located<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Limits {
    /// Size of the flow table in connections, 1 to 16000000, at 96 bytes of kernel memory each,
    /// allocated when the daemon starts. Changed by a restart, which migrates connections to a new table;
    /// both tables are in memory meanwhile.
    #[schemars(range(min = 1, max = validate::MOST_FLOWS))]
    pub(super) flows: Option<Located<u64>>,
    /// Maximum number of services, up to 100000. Changed by a restart, like `flows`.
    #[schemars(range(min = 1, max = validate::MOST_SERVICES))]
    pub(super) services: Option<Located<u64>>,
    /// Maximum number of backends of all services, including removed backends that still have
    /// connections, and a second id of each while it has connections to a former VIP of its service; up
    /// to 1000000, at 464 bytes each plus 64 bytes per possible CPU. Changed by a restart, like
    /// `flows`.
    #[schemars(range(min = 1, max = validate::MOST_BACKENDS))]
    pub(super) backends: Option<Located<u64>>,
    /// Maximum number of TCP resets that each CPU sends per second; frames that would need more are
    /// dropped.
    #[schemars(range(min = 1, max = validate::MOST_RESETS))]
    pub(super) resets: Option<Located<u64>>,
    /// Counts packets and bytes of each connection, for `conns`: at 48 bytes of kernel memory for each of
    /// `flows`. Changed by a restart, like `flows`; existing connections are counted from then on.
    pub(super) accounting: Option<Located<bool>>,
}

/// Limits of health checks on this host. Only root may change them: the daemon refuses a file with
/// other values from anybody else.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Checks {
    /// User in /etc/passwd that the programs of `exec` checks run as: neither root nor a user whose
    /// group may use the daemon's socket.
    pub(super) user: Option<Located<String>>,
    /// Directories for files that users other than root set as `ca`, `certificate` or `key`. Only
    /// root may have write access to them.
    pub(super) tls_directories: Option<Located<Vec<Located<PathBuf>>>>,
}

/// Recipients of changes of state: up to 16, each with a `program` or a `url`. Only root may set them. What was
/// so before the daemon started is no change; neither is a new backend's first check, if it succeeds. Each
/// recipient gets its notifications one after the other; up to 100 wait, then outdated and minor ones are left out.
/// When the daemon stops, what waits has two seconds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Notify {
    /// Absolute path of a program that only root can change. It runs without a shell as `checks.user`, like
    /// programs of checks. Its arguments are the event and the line of the log, its environment has each key
    /// as in `XDPLB_EVENT` and `XDPLB_SERVICE`, and its standard input is a JSON object. It fails if its exit
    /// status is not 0.
    #[schemars(regex(pattern = patterns::ABSOLUTE))]
    pub(super) program: Option<Located<PathBuf>>,
    /// URL of http or https that the JSON object is posted to. The answer must have a status from 200 to 299;
    /// redirects are not followed. As it may contain a secret, only `export` by root shows it.
    #[schemars(regex(pattern = patterns::URL))]
    pub(super) url: Option<Located<String>>,
    /// Events to notify of. Default: all.
    #[schemars(length(min = 1))]
    pub(super) events: Option<Located<Vec<Event>>>,
    /// Services to notify of; events of no service are left out then. Default: all.
    #[schemars(length(min = 1))]
    pub(super) services: Option<Located<Vec<Located<String>>>>,
    /// Time limit of an attempt, up to a minute; a program and its children are killed then. Default: `10s`.
    pub(super) timeout: Option<Located<Period>>,
    /// Number of attempts after a failed one, up to 10: the first after one second, each further one after twice
    /// the previous wait, a minute at most. Default: 3.
    #[schemars(range(min = 0, max = validate::MOST_RETRIES))]
    pub(super) retries: Option<Located<u32>>,
}

/// A line for each connection that has ended, a few seconds afterwards, not in order. Off if the table is absent. Only root may set it. See [the log](logs.md#connection-log) for its keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct ConnectionLog {
    /// Where it goes: `log`, the daemon's log, which is the journal under systemd, at level `info`; or the
    /// absolute path of a file, which is opened again within a second when it was renamed or removed. The
    /// package's unit may write to `/var/log/xdplb` only. Without that unit, the journal has its own limit
    /// (`LogRateLimitBurst=` in systemd.exec(5)).
    #[schemars(required)]
    #[schemars(regex(pattern = patterns::LOG_TARGET))]
    pub(super) to: Option<Located<String>>,
    /// Format of a file's lines. Not valid with `to = "log"`. Default: `text`.
    pub(super) format: Option<Located<LineFormat>>,
    /// Services whose connections are logged. Default: all.
    #[schemars(length(min = 1))]
    pub(super) services: Option<Located<Vec<Located<String>>>>,
    /// Logs connections whose handshake was never completed, too, which may be somebody's scan or flood. Those that
    /// a backend has refused are logged always.
    /// Default: false.
    pub(super) unfinished: Option<Located<bool>>,
    /// Maximum number of lines per second, on average of ten seconds, up to 1000000. More are left out, and
    /// counted. Default: 10000.
    #[schemars(range(min = 1, max = validate::MOST_PER_SECOND))]
    pub(super) per_second: Option<Located<u64>>,
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
    /// Name of up to 63 letters, digits, dots, underscores and hyphens.
    #[schemars(required)]
    #[schemars(regex(pattern = patterns::NAME))]
    pub(super) name: Option<Located<String>>,
    /// Address and port that clients connect to: `ADDRESS:PORT`. No server on this host may listen
    /// on it.
    #[schemars(required)]
    #[schemars(regex(pattern = patterns::VIP))]
    pub(super) vip: Option<Located<String>>,
    /// Forwarding method.
    pub(super) mode: Option<Mode>,
    /// Selection of a backend for a new connection.
    pub(super) scheduler: Option<Scheduler>,
    /// How CPUs share the rotation of `round-robin`; not valid with other schedulers, and reset by a change
    /// to another one.
    pub(super) turns: Option<Located<Turns>>,
    #[serde(default)]
    pub(super) health: Health,
    #[serde(default)]
    pub(super) timeouts: Idle,
    /// Minimum number of backends that take connections: below it, backups are added one by one.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) min_active: Option<Located<u32>>,
    /// Minimum weight of the backends that take connections, as a share of the weight of all
    /// backends that are not backups, such as "50%": below it, backups are added one by one.
    pub(super) min_capacity: Option<Percent>,
    /// If less than this share of backends is up, such as "30%", health checks are ignored and all
    /// backends are used.
    pub(super) fail_open: Option<Percent>,
    /// Return of a backend that was down.
    pub(super) failback: Option<Failback>,
    /// Time in which a backend that was down, drained or disabled gets back to its full weight, in
    /// ten steps.
    #[schemars(regex(pattern = patterns::PERIOD_OR_NONE))]
    pub(super) slow_start: Option<Located<Period>>,
    /// Handling of the connections of a backend that goes down.
    pub(super) on_down: Option<OnDown>,
    /// Handling of a new connection that its backend refuses with a reset.
    pub(super) on_refused: Option<OnRefused>,
    #[serde(default)]
    pub(super) backend: Vec<Located<Backend>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Backend {
    /// Address and port: `ADDRESS:PORT`.
    #[schemars(required)]
    #[schemars(regex(pattern = patterns::ADDRESS))]
    pub(super) address: Option<Located<String>>,
    /// Share of new connections relative to the other weights: 0 to 65535. With 0, the backend gets
    /// no new connections; existing ones continue.
    #[schemars(range(min = 0, max = 65_535))]
    pub(super) weight: Option<Located<i64>>,
    /// If true, the backend is used only when no other backend is available.
    #[serde(default)]
    pub(super) backup: bool,
}

/// Health checks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Health {
    /// Type of check.
    pub(super) r#type: Option<Located<Probe>>,
    /// Time between the starts of two checks.
    pub(super) interval: Option<Located<Period>>,
    /// Interval used instead of `interval` after a result that contradicts the current health.
    pub(super) fast_interval: Option<Located<Period>>,
    /// Time limit of one check.
    pub(super) timeout: Option<Located<Period>>,
    /// Number of consecutive successes that bring a backend up.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) rise: Option<Located<u32>>,
    /// Number of consecutive failures that take a backend down.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub(super) fall: Option<Located<u32>>,
    /// Address to check. Default: that of the backend.
    pub(super) address: Option<Located<HostAddress>>,
    /// Port to check. Default: that of the backend.
    #[schemars(range(min = 1, max = 65_535))]
    pub(super) port: Option<Located<u16>>,
    /// Close of the connection at the end of a check.
    pub(super) close: Option<Located<Close>>,
    /// HTTP: request method. Default: `GET`.
    #[schemars(regex(pattern = patterns::METHOD))]
    pub(super) method: Option<Located<String>>,
    /// HTTP: request path. Default: `/`.
    #[schemars(regex(pattern = patterns::REQUEST_PATH))]
    pub(super) path: Option<Located<String>>,
    /// HTTP: Host header. Default: the address.
    pub(super) host: Option<Located<String>>,
    /// HTTP: accepted status codes and ranges, such as `200-299,401`. Default: `200-399`.
    #[schemars(regex(pattern = patterns::STATUS))]
    pub(super) status: Option<Located<String>>,
    /// HTTP, send-expect: regular expression that the response body or the answer must match. At
    /// most 4 KiB, and 64 KiB when compiled.
    #[schemars(length(max = 4096))]
    pub(super) expect: Option<Located<String>>,
    /// HTTP, send-expect: literal text that the response body or the answer must contain, instead
    /// of `expect`. At most 64 KiB.
    pub(super) contains: Option<Located<String>>,
    /// send-expect: data to send, with escapes as in `'PING\r\n'`. As it may contain a password,
    /// commands, the API and the log show `(hidden)` instead.
    #[schemars(regex(pattern = patterns::ESCAPED))]
    pub(super) send: Option<Located<String>>,
    /// TLS: verify the server's certificate. Default: true. If false, any certificate is accepted.
    /// Servers must always support TLS 1.3, or TLS 1.2 with ECDHE and an AEAD cipher (AES-GCM or
    /// ChaCha20-Poly1305); servers with Ed448 or RSA-PSS-only keys need TLS 1.3.
    pub(super) verify: Option<Located<bool>>,
    /// TLS: server name for SNI and verification. Default: `host`, or the address.
    pub(super) sni: Option<Located<String>>,
    /// TLS: PEM file of trusted certificates instead of the system's: CA certificates, or the
    /// server's self-signed one. Read again when it changes, like `certificate` and `key`.
    pub(super) ca: Option<Located<PathBuf>>,
    /// TLS: PEM file of the client certificate chain, for servers that request one.
    pub(super) certificate: Option<Located<PathBuf>>,
    /// TLS: PEM file of the private key of `certificate`.
    pub(super) key: Option<Located<PathBuf>>,
    /// exec: program and its arguments; only root may set it. It runs as `checks.user`, in `/`,
    /// without supplementary groups, capabilities or open files. Its environment has only
    /// `XDPLB_ADDRESS` and `XDPLB_PORT` (address and port of the backend) and `PATH`. When it exits
    /// or times out, its process group is killed. Do not put passwords in arguments, as every user
    /// of the host can read them. The last line of its output is shown with the result. Anything
    /// that needs privileges fails: set-uid programs and programs with file capabilities (`sudo`,
    /// some `ping`s) run without them, raw sockets cannot be opened, and files that `checks.user`
    /// may not read, such as keys, cannot be read.
    #[schemars(length(min = 1))]
    pub(super) command: Option<Located<Vec<String>>>,
}

/// Lifetime of an idle connection, by its state.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(super) struct Idle {
    /// Until the handshake completes.
    pub(super) half_open: Option<Located<Period>>,
    /// Between the handshake and the first FIN. Should exceed the two hours of TCP keepalive.
    pub(super) established: Option<Located<Period>>,
    /// After the first FIN, until the second one.
    pub(super) closing: Option<Located<Period>>,
    /// After both FINs, or a reset.
    pub(super) closed: Option<Located<Period>>,
}

/// Rejects lists of values, which serde also accepts for a struct.
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

only_as_tables!(
    File,
    Pair,
    Group,
    Api,
    Limits,
    Checks,
    Notify,
    ConnectionLog,
    Defaults,
    Service,
    Backend,
    Health,
    Idle
);

/// Keys of a table, dotted relative to a service, with true for each key that is set.
macro_rules! given {
    ($table:expr, $prefix:literal, $($key:literal: $field:ident),* $(,)?) => {
        [$((concat!($prefix, $key), $table.$field.is_some())),*]
    };
}

type Given = (&'static str, bool);

impl Service {
    /// Returns its settings, with true for each one that is set.
    pub(super) fn given(&self) -> impl Iterator<Item = Given> + use<> {
        let own = given!(self, "",
            "vip": vip, "mode": mode, "scheduler": scheduler, "turns": turns,
            "min_active": min_active, "min_capacity": min_capacity, "fail_open": fail_open,
            "failback": failback, "slow_start": slow_start, "on_down": on_down,
            "on_refused": on_refused,
        );
        own.into_iter().chain(self.health.given()).chain(self.timeouts.given())
    }
}

impl Defaults {
    /// Returns the settings of services, with true for each one that is set here.
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
    /// Returns the failover settings, with those of `base` where none is set.
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
