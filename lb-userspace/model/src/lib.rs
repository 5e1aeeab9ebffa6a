//! What an operator configures, and what the API says. No I/O.

pub mod address;
mod backend;
mod change;
mod check;
mod connection_log;
pub mod connections;
mod event;
mod failover;
mod group;
pub mod keys;
mod limits;
mod notify;
pub mod patterns;
mod percent;
mod refusal;
mod scheduler;
pub mod secrets;
mod service;
mod timeouts;
pub mod views;
pub mod weight;
mod xdp_mode;

pub use self::{
    address::is_of_a_host,
    backend::{Admin, Backend, Health},
    change::{Change, NewBackend, Proposal, Settings, Target},
    check::{CheckRequest, Close, HealthCheck, Probe},
    connection_log::{ConnectionLog, LineFormat, LogTarget},
    event::{Event, EventKey},
    failover::{Failback, Failover, OnDown, OnRefused},
    group::{Group, Pair, Role, RoleChange, RoleOrder},
    keys::Keys,
    limits::Limits,
    notify::{Notify, Recipient},
    percent::Percent,
    refusal::{KeyFault, Problem, Refusal, more_errors},
    scheduler::{Scheduler, Turns},
    service::{Mode, Policy, Protocol, Service, Vip},
    timeouts::Timeouts,
    xdp_mode::XdpMode,
};

/// Default socket of the daemon.
pub const DEFAULT_SOCKET: &str = "/run/xdplb/xdplb.sock";

/// Group whose members may use the socket.
pub const GROUP: &str = "xdplb";
