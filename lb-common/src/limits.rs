//! Capacities of the maps.

/// Default number of services.
pub const SERVICES: u32 = 4_096;
/// Default number of backends of all services together, including removed ones that still have
/// connections.
pub const BACKENDS: u32 = 16_384;
/// Number of bits of a backend's id.
pub const BACKEND_BITS: u32 = 20;
/// Number of bits of the index of a next hop to clients.
pub const CLIENT_HOP_BITS: u32 = 12;
/// The first backend id that is assigned: a ring slot of 0 means "none".
pub const FIRST_BACKEND: u32 = 1;
/// Ring slots of all services together, including freed regions in their grace period.
pub const RING_SLOTS: u32 = 1 << 22;
/// Source addresses of all backends' egress interfaces.
pub const SNAT_SOURCES: u32 = 4_096;
/// Default number of addresses that are no client's: the host's own, VIPs, and backends'.
pub const ORIGINS: u32 = 1 << 15;
/// Interfaces that packets may leave by.
pub const TX_PORTS: u32 = 256;
/// Default number of connections; each takes two entries of the flow table.
pub const DEFAULT_FLOWS: u32 = 1_000_000;
/// Default limit on the resets of each CPU, per second.
pub const RESETS: u32 = 20_000;
