//! Answers of the API.

pub mod explanation;
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
    handshakes::Handshakes,
    interfaces::{GuardHook, InterfaceMode, InterfaceView, LinkState},
    origin::Origin,
    service::{BackendView, CheckView, ServiceView},
    stats::{BackendStats, IncidentView, ServiceStats, Stats, VerdictView},
    status::{ConnectionLogView, FlowsView, NotificationsView, RefusedReload, Status},
    step::{Kind, Step},
    versions::{FullVersion, Plan, VersionView},
};
