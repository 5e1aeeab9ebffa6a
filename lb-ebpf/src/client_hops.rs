//! Changes of the next hop towards a client. The daemon never writes to an entry itself: if it were
//! killed while it holds one, nobody could release it.

use lb_common::event::{CLIENT_HOPS, ClientHop};

use crate::{flow, raw::Packet};

#[inline(always)]
pub(crate) fn write(packet: &mut Packet) {
    for nth in 0..CLIENT_HOPS {
        let bytes: Option<&mut [u8; size_of::<ClientHop>()]> =
            packet.at(nth * size_of::<ClientHop>());
        let Some(bytes) = bytes else { return };
        let ClientHop { tag, hop, place, .. } = bytemuck::pod_read_unaligned(bytes);
        if let Some(entry) = flow::found(place, tag) {
            flow::relearn(entry, hop);
        }
    }
}
