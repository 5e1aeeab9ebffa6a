//! Changes of state that the log and notifications tell, and the keys of their lines.

use lb_common::named;
use log::Level;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Defines the events, each with its meaning, its level, its word in the file, its message in the log, and the
/// keys that it may have.
macro_rules! events {
    ($($(#[doc = $meaning:literal])+
        $name:ident, $level:ident, $word:literal, $message:literal, [$($key:ident),*];)*) => {
        /// A change of state.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum Event {
            $($(#[doc = $meaning])+ #[serde(rename = $word)] $name,)*
        }

        impl Event {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns its word in `[[notify]]`, and in the log for machines.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Returns its message in the log.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }

            /// Returns its level in the log.
            #[must_use]
            pub const fn level(self) -> Level {
                match self { $(Self::$name => Level::$level,)* }
            }

            /// Returns the keys that its line may have, in their order.
            #[must_use]
            pub const fn keys(self) -> &'static [EventKey] {
                match self { $(Self::$name => &[$(EventKey::$key),*],)* }
            }

            /// Returns its meaning, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim_ascii(),)* }
            }
        }
    };
}

events! {
    /// A backend has passed its checks.
    BackendUp, Info, "backend-up", "backend is up", [Service, Backend, Reason, Up, Backends];
    /// A backend has failed its checks.
    BackendDown, Warn, "backend-down", "backend is down", [Service, Backend, Reason, Up, Backends];
    /// A check can no longer run, so the backend keeps its health.
    BackendUnchecked, Warn, "backend-unchecked", "backend cannot be checked, and keeps its health", [Service, Backend, Reason];
    /// A check can run again.
    BackendChecked, Info, "backend-checked", "backend is checked again", [Service, Backend, Reason];
    /// A backend has no next hop, so it takes no new connections.
    BackendUnreachable, Warn, "backend-unreachable", "backend has no next hop", [Service, Backend, Reason];
    /// A backend has a next hop.
    BackendReachable, Info, "backend-reachable", "backend has a next hop", [Service, Backend];
    /// A backend refuses connections, and is skipped until it takes them or fails its checks.
    BackendRefusing, Warn, "backend-refusing", "backend refuses connections and is skipped", [Service, Backend, Reason];
    /// A backend that refused connections takes them again.
    BackendAccepting, Info, "backend-accepting", "backend takes connections again", [Service, Backend, Reason];
    /// A backend that was down is up, and waits for the operator (`failback = "manual"`).
    BackendHeld, Info, "backend-held", "backend waits for `xdplb backend enable`", [Service, Backend];
    /// A backend that waited for the operator takes over, as no other can.
    BackendTakeover, Warn, "backend-takeover", "backend takes over: no other can", [Service, Backend];
    /// A backup takes connections.
    BackupUsed, Warn, "backup-used", "backup takes connections", [Service, Backend];
    /// A backup no longer takes connections.
    BackupUnused, Info, "backup-unused", "backup no longer takes connections", [Service, Backend];
    /// The drain of a backend has started.
    DrainStarted, Info, "drain-started", "drain has started", [Service, Backend];
    /// The drain of a backend has ended.
    DrainEnded, Info, "drain-ended", "drain has ended", [Service, Backend, Admin];
    /// The drain of a backend has reached its deadline: its connections are ended.
    DrainDeadline, Warn, "drain-deadline", "drain has reached its deadline", [Service, Backend, Connections, Reason];
    /// No backend of a service takes connections: new ones are refused.
    ServiceDown, Error, "service-down", "no backend takes connections: new ones are refused", [Service, Reason];
    /// A service takes connections again.
    ServiceUp, Info, "service-up", "service takes connections again", [Service, Up, Backends];
    /// So many backends are down that health checks are ignored.
    ChecksIgnored, Error, "checks-ignored", "below fail_open: health checks are ignored", [Service];
    /// Enough backends are up that health checks count again.
    ChecksCount, Warn, "checks-count", "above fail_open: health checks count again", [Service];
    /// An interface is up, with the program attached.
    InterfaceUp, Info, "interface-up", "interface is up, with the program attached", [Interface, Mode];
    /// An interface does not forward: it is down or gone, or has no program attached.
    InterfaceDown, Warn, "interface-down", "interface does not forward", [Interface, Mode, Reason];
    /// The program runs on an interface in generic mode, which is slow.
    InterfaceGeneric, Warn, "interface-generic", "interface runs in generic mode, which is slow", [Interface, Mode, Reason];
    /// An interface has no host guard, so connections end when the program is detached for a moment.
    InterfaceUnguarded, Warn, "interface-unguarded", "interface has no host guard", [Interface, Mode, Reason];
    /// An interface was deleted and created again under its name.
    InterfaceRecreated, Info, "interface-recreated", "interface was recreated", [Interface, Mode];
    /// No interface has the address of a service, and no route brings it here.
    VipUnrouted, Warn, "vip-unrouted", "no packets come in for a VIP", [Vip, Reason];
    /// Packets to the address of a service come in again.
    VipRouted, Info, "vip-routed", "packets come in for a VIP again", [Vip];
    /// This node is active for a group.
    GroupActive, Warn, "group-active", "active for a group", [Group, Epoch, By];
    /// This node is standby for a group.
    GroupStandby, Warn, "group-standby", "standby for a group", [Group, Epoch, By];
    /// This node was active for a group until its lease ran out, as its daemon was dead or frozen.
    GroupExpired, Error, "group-expired", "no longer active for a group: the lease has run out", [Group, Epoch, By];
    /// Source ports of full NAT are among those of the host's own connections.
    PortsClash, Warn, "ports-clash", "source ports clash with the host's own", [Reason];
    /// Source ports of full NAT are no longer among those of the host's own connections.
    PortsFree, Info, "ports-free", "source ports no longer clash with the host's own", [];
    /// The kernel's maps are behind the configuration, which is retried.
    KernelBehind, Error, "kernel-behind", "the kernel is behind the configuration, which is retried", [Reason];
    /// The kernel's maps are current again.
    KernelCurrent, Info, "kernel-current", "the kernel is up to date with the configuration again", [];
    /// The services have a new version, by a command, the API or a file.
    ConfigChanged, Info, "config-changed", "configuration changed", [By, Change, Version];
    /// The configuration file was reloaded by SIGHUP.
    Reloaded, Info, "reloaded", "configuration file reloaded", [File, Changes];
    /// The reload of the configuration file was refused, and changed nothing.
    ReloadRefused, Error, "reload-refused", "configuration file not reloaded, nothing changed", [File, Reason];
}

impl Event {
    /// Returns true if it is about a service or a backend of one.
    #[must_use]
    pub const fn has_service(self) -> bool {
        !matches!(
            self.family(),
            Self::InterfaceDown
                | Self::VipUnrouted
                | Self::GroupActive
                | Self::PortsClash
                | Self::KernelBehind
                | Self::ConfigChanged
                | Self::ReloadRefused
        )
    }

    /// Returns the event that stands for all that tell of the same state, such as up and down.
    #[must_use]
    pub const fn family(self) -> Self {
        match self {
            Self::BackendUp => Self::BackendDown,
            Self::BackendChecked => Self::BackendUnchecked,
            Self::BackendReachable => Self::BackendUnreachable,
            Self::BackendAccepting => Self::BackendRefusing,
            Self::BackendTakeover => Self::BackendHeld,
            Self::BackupUnused => Self::BackupUsed,
            Self::DrainEnded | Self::DrainDeadline => Self::DrainStarted,
            Self::ServiceUp => Self::ServiceDown,
            Self::ChecksCount => Self::ChecksIgnored,
            Self::InterfaceUp
            | Self::InterfaceGeneric
            | Self::InterfaceUnguarded
            | Self::InterfaceRecreated => Self::InterfaceDown,
            Self::VipRouted => Self::VipUnrouted,
            Self::GroupStandby | Self::GroupExpired => Self::GroupActive,
            Self::PortsFree => Self::PortsClash,
            Self::KernelCurrent => Self::KernelBehind,
            Self::Reloaded => Self::ReloadRefused,
            other => other,
        }
    }
}

named! {
    /// A key of a line of the log, and of a notification.
    pub enum EventKey {
        /// Name of the service.
        Service = "service",
        /// Address and port of the backend.
        Backend = "backend",
        /// Name of the interface.
        Interface = "interface",
        /// Mode of the XDP program on the interface.
        Mode = "mode",
        /// What was found, in words: the result of a check, an error.
        Reason = "reason",
        /// Number of the service's backends that are up.
        Up = "up",
        /// Number of the service's backends.
        Backends = "backends",
        /// Number of connections.
        Connections = "connections",
        /// A backend's state by order of the operator: enabled, draining or disabled.
        Admin = "admin",
        /// An IP address of a service.
        Vip = "vip",
        /// Name of the group of addresses.
        Group = "group",
        /// Number of times that this node was promoted for the group.
        Epoch = "epoch",
        /// Who made a change.
        By = "by",
        /// Number of the version of the services, as in `xdplb history`.
        Version = "version",
        /// Number of changes.
        Changes = "changes",
        /// A change, as in `xdplb diff`.
        Change = "change",
        /// Path of the file.
        File = "file",
        /// Address of the client.
        Client = "client",
        /// Address of the next hop.
        NextHop = "next_hop",
        /// Recipient of notifications: the program, or the server without the path.
        Recipient = "recipient",
        /// Number of notifications that were lost.
        Lost = "lost",
    }
}
