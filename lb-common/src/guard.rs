//! Addresses as the host guard knows them: written by the daemon, read by the guard.

use bytemuck::{Pod, Zeroable};

/// Uses of one of the balancer's addresses. By default, it has none.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Guarded {
    /// First source port of balanced connections.
    pub first_port: u16,
    /// Last one; less than `first_port` if there are none.
    pub last_port: u16,
    /// Nonzero if the address is a service's.
    pub is_vip: u32,
}

impl Guarded {
    pub const NOTHING: Self = Self { first_port: u16::MAX, last_port: 0, is_vip: 0 };

    /// Returns true if this is one of the source ports of balanced connections.
    #[must_use]
    #[inline(always)]
    pub const fn has_port(&self, port: u16) -> bool {
        self.first_port <= port && port <= self.last_port
    }
}

impl Default for Guarded {
    fn default() -> Self {
        Self::NOTHING
    }
}

const _: () = assert!(size_of::<Guarded>() == 8);

#[cfg(test)]
mod tests {
    use super::Guarded;

    #[test]
    fn both_ends_of_a_range_belong_to_it() {
        let guarded = Guarded { first_port: 1_024, last_port: 2_047, is_vip: 0 };
        let inside = [1_023, 1_024, 2_047, 2_048].map(|port| guarded.has_port(port));
        assert_eq!(inside, [false, true, true, false]);
    }

    #[test]
    fn nothing_has_no_port() {
        assert!((0..=u16::MAX).all(|port| !Guarded::NOTHING.has_port(port)));
    }
}
