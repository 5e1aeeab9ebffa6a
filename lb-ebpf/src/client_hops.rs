//! Next hops to clients: see [`lb_common::client_hops`].

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{
    backend::Hop,
    client_hops::{self, NO_SLOT, PlainSlot, SLOTS, Slots},
};

use crate::{
    global::global,
    raw::{self, Slot},
};

#[btf_map]
static CLIENT_HOPS: Array<PlainSlot, { SLOTS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

#[derive(Clone, Copy)]
struct ClientHops;

impl Slots for ClientHops {
    type Slot = Slot;

    #[inline(always)]
    fn seed(self) -> u64 {
        raw::flow_seed().0[0]
    }

    #[inline(always)]
    fn slot(self, index: u32) -> Option<Slot> {
        Slot::new(CLIENT_HOPS.get_ptr_mut(index)?)
    }
}

/// Returns the next hop with this index.
#[inline(always)]
pub(crate) fn of(index: u32) -> Option<Hop> {
    ClientHops.slot(index).map(client_hops::Slot::hop)
}

/// Returns the index of a next hop, or `None` if there is no room for it.
#[inline(always)]
pub(crate) fn index_of(hop: Hop) -> Option<u32> {
    let [first, rest] = hop.words();
    let index = client_hop_index(first, rest);
    (index != NO_SLOT).then_some(index)
}

global! {
    fn client_hop_index(first: u64, rest: u64) -> u32 {
        client_hops::index_of(ClientHops, Hop::of_words([first, rest]))
    }
}
