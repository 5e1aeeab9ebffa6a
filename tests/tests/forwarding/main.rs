//! The whole balancer in network namespaces: the real daemon on native XDP, real servers, real
//! clients.

mod bulk;
mod changes;
mod command_line;
mod conns;
mod demo;
mod described;
mod disk;
mod document;
mod edits;
mod failover;
mod health;
mod host;
mod kill;
mod lifecycle;
mod maps;
mod migration;
mod refusals;
mod resilience;
mod scheduling;
mod sharing;
mod shown;
mod trials;
mod upgrade;
mod vips;
