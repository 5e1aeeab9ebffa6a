//! Clients that have moved to another next hop.

use lb_common::event::{self, ClientHop};

use crate::{client_hops, flow, raw::Packet};

/// Changes the next hops of connections, as a frame lists them. The daemon never writes to an entry
/// itself: if it were killed while it holds one, nobody could release it. Returns false if there is no
/// room for a hop: its connections stay as they are.
#[inline(always)]
pub(crate) fn make(packet: &mut Packet) -> bool {
    let mut has_room = true;
    for nth in 0..event::HOPS_EACH_RUN {
        let bytes: Option<&mut [u8; size_of::<ClientHop>()]> =
            packet.at(nth * size_of::<ClientHop>());
        let Some(bytes) = bytes else { break };
        let ClientHop { tag, hop, index, .. } = bytemuck::pod_read_unaligned(bytes);
        let Some(hit) = flow::found(index, tag) else { continue };
        match client_hops::index_of(hop) {
            Some(hop) => flow::set_client_hop(hit, hop),
            None => has_room = false,
        }
    }
    has_room
}
