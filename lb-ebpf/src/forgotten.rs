//! Backends' packets of connections that are not known, to the addresses that those come from.

use aya_ebpf::programs::XdpContext;
use lb_common::{flow::FlowKey, tcp, wire::Headers};

use crate::{addresses, arrival, guard, raw, raw::Packet};

/// Whether a packet of no service is a backend's, of a connection that has been idle for too long. It is
/// answered by a reset, as a client's is: the host guard keeps it from the host, which would.
#[inline(never)]
pub(crate) fn is_of_backend(packet: &mut Packet) -> bool {
    let (context, ingress) = (packet.context(), packet.ingress());
    is_of_known_backend(packet, &context, ingress).unwrap_or(false)
}

#[inline(always)]
fn is_of_known_backend(packet: &mut Packet, context: &XdpContext, ingress: u32) -> Option<bool> {
    let headers: &Headers = packet.at(0)?;
    if !addresses::may_be_ours(headers.ip.dst) || headers.tcp.flags & tcp::RST != 0 {
        return None;
    }
    arrival::of_client(headers, ingress).ok()?;
    let key = FlowKey::of(headers);
    Some(guard::is_from_backend(&key)? && !raw::is_of_own_connection(context, &key))
}
