//! Next hops to clients: see [`lb_common::client_hops`].

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{
    backend::Hop,
    client_hops::{self, NO_SLOT, PlainSlot, SLOTS, Slots},
    event::{self, ClientHop},
};

use crate::{
    flow,
    global::global,
    raw::{self, Packet, Slot},
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

/// Changes the next hops of connections, as a frame lists them. The daemon never writes to an entry
/// itself: if it were killed while it holds one, nobody could release it. Returns false if there is no
/// room for a hop: its connections stay as they are.
#[inline(always)]
pub(crate) fn write(packet: &mut Packet) -> bool {
    let mut has_room = true;
    for nth in 0..event::HOPS_EACH_RUN {
        let bytes: Option<&mut [u8; size_of::<ClientHop>()]> =
            packet.at(nth * size_of::<ClientHop>());
        let Some(bytes) = bytes else { break };
        let ClientHop { tag, hop, index, .. } = bytemuck::pod_read_unaligned(bytes);
        let Some(hit) = flow::found(index, tag) else { continue };
        match index_of(hop) {
            Some(hop) => flow::set_client_hop(hit, hop),
            None => has_room = false,
        }
    }
    has_room
}
