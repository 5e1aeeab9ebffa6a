//! Maps that the control plane writes: the kernel's, or others with the same values.

mod kernel;
#[cfg(any(test, feature = "memory"))]
pub mod memory;

use std::ops::Range;

use anyhow::Result;
use lb_common::{
    backend::Backend,
    guard::Guarded,
    macs,
    ring::Ring,
    service::{Service, ServiceKey},
    snat::Source,
    stats::Traffic,
};

/// Values by key.
pub trait Table<K, V>: Send {
    fn entries(&self) -> Result<Vec<(K, V)>>;

    fn insert(&mut self, key: &K, value: &V) -> Result<()>;

    /// Removes an entry, which may be gone already.
    fn remove(&mut self, key: &K) -> Result<()>;
}

/// Values by index, all of which always exist.
pub trait Array<V>: Send {
    fn size(&self) -> u32;

    fn get(&self, place: u32) -> Result<V>;

    fn set(&mut self, place: u32, value: &V) -> Result<()>;
}

/// The program's counters of each backend, by its id.
pub trait Counters<V>: Send {
    /// Reads the counters of a range of ids at once.
    fn of(&self, backends: Range<u32>) -> Result<Vec<V>>;

    fn clear(&mut self, backend: u32) -> Result<()>;
}

/// Counters of each backend, by its id, that another id may take over.
pub trait Handed: Send {
    /// Adds an id's counters to another one's, and clears them.
    fn pass(&mut self, from: u32, to: u32) -> Result<()>;

    fn clear(&mut self, backend: u32) -> Result<()>;
}

/// The arena of ring slots.
pub trait Arena: Send {
    fn read(&self, ring: Ring) -> Vec<u32>;

    /// Writes slots from an offset on, with release ordering for later publication.
    fn write(&mut self, offset: u32, slots: &[u32]);
}

/// An address as a key of the guard.
pub type Address = [u8; 16];

/// All maps.
pub struct Maps {
    pub services: Box<dyn Table<ServiceKey, Service>>,
    pub backends: Box<dyn Array<Backend>>,
    pub sources: Box<dyn Array<Source>>,
    pub rings: Box<dyn Arena>,
    /// Filter of addresses that the program looks up.
    pub addresses: Box<dyn Array<u64>>,
    /// Allowed input interface of an IPv4 source address.
    pub origins: Box<dyn Table<u32, u32>>,
    /// Filter of the addresses in `origins`.
    pub origin_bits: Box<dyn Array<u64>>,
    pub own_macs: Box<dyn Array<macs::Slot>>,
    pub guard_addresses: Box<dyn Table<Address, Guarded>>,
    pub guard_backends: Box<dyn Table<ServiceKey, u32>>,
    pub traffic: Box<dyn Counters<Traffic>>,
    /// Traffic of backends under released ids that they had before.
    pub past_traffic: Box<dyn Array<Traffic>>,
    /// Traffic of each service's removed backends, by service id.
    pub kept_traffic: Box<dyn Array<Traffic>>,
    /// How well connections to each backend go.
    pub tcp: Box<dyn Handed>,
    /// Number of handshakes that each backend has refused in a row.
    pub refusals: Box<dyn Counters<u32>>,
}
