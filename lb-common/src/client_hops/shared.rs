//! Slots in memory that others write to at the same time: the kernel's, mapped.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

use super::{PlainSlot, Slot, Slots};
use crate::backend::Hop;

/// [`PlainSlot`], read and written a word at a time.
#[repr(C)]
#[derive(Debug, Default)]
pub struct SharedSlot {
    state: AtomicU64,
    hop: [AtomicU64; 2],
    reserved: AtomicU64,
}

const _: () = assert!(size_of::<SharedSlot>() == size_of::<PlainSlot>());

/// All slots, and the random number by which hops are assigned to them.
#[derive(Clone, Copy, Debug)]
pub struct SharedSlots<'a> {
    pub slots: &'a [SharedSlot],
    pub seed: u64,
}

impl SharedSlots<'_> {
    /// Returns the next hop with this index; the default one if there is none.
    #[must_use]
    pub fn hop(self, index: u32) -> Hop {
        self.slot(index).map_or_else(Hop::default, Slot::hop)
    }
}

impl<'a> Slots for SharedSlots<'a> {
    type Slot = &'a SharedSlot;

    fn seed(self) -> u64 {
        self.seed
    }

    fn slot(self, index: u32) -> Option<Self::Slot> {
        self.slots.get(index as usize)
    }
}

impl Slot for &SharedSlot {
    fn state(self) -> u64 {
        self.state.load(Acquire)
    }

    fn exchange(self, from: u64, to: u64) -> u64 {
        let (Ok(found) | Err(found)) = self.state.compare_exchange(from, to, SeqCst, SeqCst);
        found
    }

    fn publish(self, state: u64) {
        self.state.store(state, Release);
    }

    fn hop(self) -> Hop {
        Hop::of_words(self.hop.each_ref().map(|word| word.load(Relaxed)))
    }

    fn write(self, hop: Hop) {
        for (word, value) in self.hop.iter().zip(hop.words()) {
            word.store(value, Relaxed);
        }
    }
}
