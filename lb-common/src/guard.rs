//! What the host guard knows of addresses: the daemon writes it, the guard reads it.

use bytemuck::{Pod, Zeroable};

/// What an address of the balancer's is for. The default is an address that is for nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Guarded {
    /// First source port of balanced connections.
    pub first_port: u16,
    /// Last one; less than the first if there are none.
    pub last_port: u16,
    /// Not 0 if services have this address.
    pub is_vip: u32,
}

impl Guarded {
    pub const NOTHING: Self = Self { first_port: u16::MAX, last_port: 0, is_vip: 0 };

    /// Whether the source ports of balanced connections include this one.
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
