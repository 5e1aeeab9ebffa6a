//! How much the maps hold.

/// Services, if the configuration does not say.
pub const SERVICES: u32 = 4_096;
/// Backends of all services together, and those that are gone but still have connections, if the
/// configuration does not say.
pub const BACKENDS: u32 = 16_384;
/// The first backend id that is given out: a ring slot of 0 means "nobody".
pub const FIRST_BACKEND: u32 = 1;
/// Ring slots of all services together, and freed regions that wait for their grace time.
pub const RING_SLOTS: u32 = 1 << 22;
/// Source addresses of all backends' egress interfaces.
pub const SNAT_SOURCES: u32 = 4_096;
/// Addresses that are not any client's: own ones, VIPs, backends'; if the configuration does not say.
pub const ORIGINS: u32 = 1 << 15;
/// Interfaces that packets may leave by.
pub const TX_PORTS: u32 = 256;
/// Connections, if the configuration does not say; each takes two entries of the flow table.
pub const DEFAULT_FLOWS: u32 = 1_000_000;
/// Resets that each CPU sends a second, at most, if the configuration does not say.
pub const RESETS: u32 = 20_000;
