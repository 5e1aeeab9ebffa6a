//! Answers of the API.

pub mod explanation;
mod group;
mod handshakes;
mod interfaces;
mod origin;
mod service;
mod since;
mod stats;
mod status;
mod step;
pub mod trace;
mod versions;

pub use self::{
    group::{GroupView, Readiness},
    handshakes::Handshakes,
    interfaces::{GuardHook, InterfaceMode, InterfaceView, LinkState},
    origin::Origin,
    service::{BackendView, CheckView, ServiceView},
    stats::{BackendStats, IncidentView, ServiceStats, Stats, VerdictView},
    status::{ConnectionLogView, FlowsView, NotificationsView, RefusedReload, Status},
    step::{Kind, Step},
    versions::{FullVersion, Plan, VersionView},
};
