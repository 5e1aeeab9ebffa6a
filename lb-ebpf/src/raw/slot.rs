//! Slots of next hops to clients.

use core::mem::offset_of;

use lb_common::{
    backend::Hop,
    client_hops::{self, PlainSlot},
};

use super::words::Words;

#[derive(Clone, Copy)]
pub(crate) struct Slot(Words);

const HOP: usize = offset_of!(PlainSlot, hop);

const _: () = assert!(offset_of!(PlainSlot, state) == 0);

impl Slot {
    #[inline(always)]
    pub(crate) fn new(value: *mut PlainSlot) -> Option<Self> {
        Words::new(value).map(Self)
    }
}

impl client_hops::Slot for Slot {
    #[inline(always)]
    fn state(self) -> u64 {
        self.0.load_ordered()
    }

    #[inline(always)]
    fn exchange(self, from: u64, to: u64) -> u64 {
        self.0.exchange(from, to)
    }

    #[inline(always)]
    fn publish(self, state: u64) {
        self.0.publish(state);
    }

    #[inline(always)]
    fn hop(self) -> Hop {
        Hop::of_words(self.0.load_words(HOP))
    }

    #[inline(always)]
    fn write(self, hop: Hop) {
        self.0.store_words(HOP, hop.words());
    }
}
