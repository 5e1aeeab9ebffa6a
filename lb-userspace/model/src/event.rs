//! Changes of state that the log and notifications tell, and the keys of their lines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Defines the events, each with its meaning, its word in the file, and its message in the log.
macro_rules! events {
    ($($(#[doc = $meaning:literal])+ $name:ident, $word:literal, $message:literal;)*) => {
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
    BackendUp, "backend-up", "backend is up";
    /// A backend has failed its checks.
    BackendDown, "backend-down", "backend is down";
    /// A check can no longer run, so the backend keeps its health.
    BackendUnchecked, "backend-unchecked", "backend cannot be checked, and keeps its health";
    /// A check can run again.
    BackendChecked, "backend-checked", "backend is checked again";
    /// A backend has no next hop, so it takes no new connections.
    BackendUnreachable, "backend-unreachable", "backend has no next hop";
    /// A backend has a next hop.
    BackendReachable, "backend-reachable", "backend has a next hop";
    /// A backend refuses connections, and is skipped until it takes them or fails its checks.
    BackendRefusing, "backend-refusing", "backend refuses connections and is skipped";
    /// A backend that refused connections takes them again.
    BackendAccepting, "backend-accepting", "backend takes connections again";
    /// A backend that was down is up, and waits for the operator (`failback = "manual"`).
    BackendHeld, "backend-held", "backend waits for `xdplb backend enable`";
    /// A backend that waited for the operator takes over, as no other can.
    BackendTakeover, "backend-takeover", "backend takes over: no other can";
    /// A backup takes connections.
    BackupUsed, "backup-used", "backup takes connections";
    /// A backup no longer takes connections.
    BackupUnused, "backup-unused", "backup no longer takes connections";
    /// The drain of a backend has started.
    DrainStarted, "drain-started", "drain has started";
    /// The drain of a backend has ended.
    DrainEnded, "drain-ended", "drain has ended";
    /// The drain of a backend has reached its deadline: its connections are ended.
    DrainDeadline, "drain-deadline", "drain has reached its deadline";
    /// No backend of a service takes connections: new ones are refused.
    ServiceDown, "service-down", "no backend takes connections: new ones are refused";
    /// A service takes connections again.
    ServiceUp, "service-up", "service takes connections again";
    /// So many backends are down that health checks are ignored.
    ChecksIgnored, "checks-ignored", "below fail_open: health checks are ignored";
    /// Enough backends are up that health checks count again.
    ChecksCount, "checks-count", "above fail_open: health checks count again";
    /// An interface is up, with the program attached.
    InterfaceUp, "interface-up", "interface is up, with the program attached";
    /// An interface does not forward: it is down or gone, or has no program attached.
    InterfaceDown, "interface-down", "interface does not forward";
    /// The program runs on an interface in generic mode, which is slow.
    InterfaceGeneric, "interface-generic", "interface runs in generic mode, which is slow";
    /// An interface has no host guard, so connections end when the program is detached for a moment.
    InterfaceUnguarded, "interface-unguarded", "interface has no host guard";
    /// An interface was deleted and created again under its name.
    InterfaceRecreated, "interface-recreated", "interface was recreated";
    /// No interface has the address of a service, and no route brings it here.
    VipUnrouted, "vip-unrouted", "no packets come in for a VIP";
    /// Packets to the address of a service come in again.
    VipRouted, "vip-routed", "packets come in for a VIP again";
    /// Source ports of full NAT are among those of the host's own connections.
    PortsClash, "ports-clash", "source ports clash with the host's own";
    /// Source ports of full NAT are no longer among those of the host's own connections.
    PortsFree, "ports-free", "source ports no longer clash with the host's own";
    /// The kernel's maps are behind the configuration, which is retried.
    KernelBehind, "kernel-behind", "the kernel is behind the configuration, which is retried";
    /// The kernel's maps are current again.
    KernelCurrent, "kernel-current", "the kernel is up to date with the configuration again";
    /// The services have a new version, by a command, the API or a file.
    ConfigChanged, "config-changed", "configuration changed";
    /// The configuration file was reloaded by SIGHUP.
    Reloaded, "reloaded", "configuration file reloaded";
    /// The reload of the configuration file was refused, and changed nothing.
    ReloadRefused, "reload-refused", "configuration file not reloaded, nothing changed";
}

impl Event {
    /// Returns true if it is about a service or a backend of one.
    #[must_use]
    pub const fn has_service(self) -> bool {
        !matches!(
            self.family(),
            Self::InterfaceDown
                | Self::VipUnrouted
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
            Self::PortsFree => Self::PortsClash,
            Self::KernelCurrent => Self::KernelBehind,
            Self::Reloaded => Self::ReloadRefused,
            other => other,
        }
    }
}

/// Defines the keys, each with its meaning and its name.
macro_rules! keys {
    ($($(#[doc = $meaning:literal])+ $name:ident, $word:literal;)*) => {
        /// A key of a line of the log, and of a notification.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventKey {
            $($(#[doc = $meaning])+ $name,)*
        }

        impl EventKey {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Returns its meaning.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim_ascii(),)* }
            }
        }
    };
}

keys! {
    /// Name of the service.
    Service, "service";
    /// Address and port of the backend.
    Backend, "backend";
    /// Name of the interface.
    Interface, "interface";
    /// Mode of the XDP program on the interface.
    Mode, "mode";
    /// What was found, in words: the result of a check, an error.
    Reason, "reason";
    /// Number of the service's backends that are up.
    Up, "up";
    /// Number of the service's backends.
    Backends, "backends";
    /// Number of connections.
    Connections, "connections";
    /// A backend's state by order of the operator: enabled, draining or disabled.
    Admin, "admin";
    /// An IP address of a service.
    Vip, "vip";
    /// Who made a change.
    By, "by";
    /// Number of the version of the services, as in `xdplb history`.
    Version, "version";
    /// Number of changes.
    Changes, "changes";
    /// A change, as in `xdplb diff`.
    Change, "change";
    /// Path of the file.
    File, "file";
    /// Address of the client.
    Client, "client";
    /// Address of the next hop.
    NextHop, "next_hop";
    /// Recipient of notifications: the program, or the server without the path.
    Recipient, "recipient";
    /// Number of notifications that were lost.
    Lost, "lost";
}
