//! Flows: what the balancer remembers of a connection.
//!
//! A connection is a pair of entries, one for each direction. Each is a complete rewrite rule, and
//! each leads to the other: a packet that one of them has rewritten is, turned round, a packet
//! that the other one matches.

mod key;
pub mod marks;
mod progress;
mod state;
pub mod ticks;

use bytemuck::{Pod, Zeroable};

pub use self::{
    key::FlowKey,
    progress::{Progress, WINDOW, is_beyond},
    state::State,
};
use crate::{
    backend::Hop,
    checksum::{Delta, Folded},
};

/// The tuple that a packet gets, and what that changes in its checksums.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Rewrite {
    /// As in [`FlowKey`].
    addresses: u64,
    /// As in [`FlowKey`].
    ports: u32,
    /// With the time to live, which is one less afterwards.
    pub ip_delta: Folded,
    pub tcp_delta: Folded,
}

impl Rewrite {
    /// The rule that makes packets of `from` into packets of `to`.
    #[must_use]
    #[inline(always)]
    pub const fn new(from: &FlowKey, to: &FlowKey) -> Self {
        let both = Delta::NONE.address(from.src(), to.src()).address(from.dst(), to.dst());
        let ip = both.plus(Delta::TTL_DECREMENT);
        let tcp = both.port(from.src_port(), to.src_port()).port(from.dst_port(), to.dst_port());
        let (addresses, ports) = (to.addresses, to.ports);
        Self { addresses, ports, ip_delta: ip.folded(), tcp_delta: tcp.folded() }
    }

    #[must_use]
    #[inline(always)]
    pub const fn to(&self) -> FlowKey {
        FlowKey::of_words(self.addresses, self.ports)
    }

    /// The words that it is made of.
    #[must_use]
    #[inline(always)]
    pub fn words(self) -> [u64; 2] {
        bytemuck::must_cast(self)
    }

    /// Of the words that it is made of.
    #[must_use]
    #[inline(always)]
    pub fn from_words(words: [u64; 2]) -> Self {
        bytemuck::must_cast(words)
    }
}

/// Which way a flow's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToBackend,
    ToClient,
}

/// One direction of a connection: all of a table's line but its tag.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Flow {
    /// The packets that it matches: as in [`FlowKey`].
    pub(crate) addresses: u64,
    pub(crate) ports: u32,
    /// When its last packet went by, in [`ticks`].
    pub seen: u32,
    pub rewrite: Rewrite,
    /// The way back to the client, as learnt from the client's own frames; the same in both
    /// entries of a pair.
    pub client: Hop,
    pub backend: u32,
    /// Of the entry towards the client: the connection's number, as [`Progress`] has it. Of the entry
    /// towards the backend: when its connection began, in [`ticks`], but from the backend's SYN until the
    /// backend has shown that it knows of the connection its other number.
    pub extra: u32,
}

const _: () = assert!(size_of::<Flow>() == 56);

impl Flow {
    /// The entry that makes packets of `key` into packets of `to`, made now.
    #[must_use]
    #[inline(always)]
    pub const fn new(key: &FlowKey, to: &FlowKey, client: Hop, backend: u32, now: u32) -> Self {
        Self {
            addresses: key.addresses,
            ports: key.ports,
            seen: now,
            rewrite: Rewrite::new(key, to),
            client,
            backend,
            extra: now,
        }
    }

    /// The same with another [`extra`](Self::extra).
    #[must_use]
    #[inline(always)]
    pub const fn with_extra(self, extra: u32) -> Self {
        Self { extra, ..self }
    }

    /// When its connection began, in [`ticks`], of an entry towards the backend with these marks. While
    /// the entry has no room for that, the last packet stands for it.
    #[must_use]
    #[inline(always)]
    pub const fn began(&self, marks: u16) -> u32 {
        if marks::is_dated(marks) { self.extra } else { self.seen }
    }

    /// The packets that it matches.
    #[must_use]
    #[inline(always)]
    pub const fn key(&self) -> FlowKey {
        FlowKey::of_words(self.addresses, self.ports)
    }

    /// The key of the pair's other entry.
    #[must_use]
    #[inline(always)]
    pub const fn partner(&self) -> FlowKey {
        self.rewrite.to().turned()
    }
}
