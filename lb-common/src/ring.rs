//! Rings: arrays of backend ids that say whose turn it is.

use bytemuck::{Pod, Zeroable};

/// A region of the arena of ring slots. Eight aligned bytes, so that it changes in one store.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Ring {
    pub offset: u32,
    /// 0: nobody can take a connection.
    pub length: u32,
}

impl Ring {
    /// The arena slot of the `turn`-th connection, or nothing if the ring is empty.
    #[must_use]
    pub const fn slot(self, turn: u64) -> Option<u32> {
        if self.length == 0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "less than a u32 by the modulo")]
        let index = (turn % self.length as u64) as u32;
        Some(self.offset + index)
    }
}
