//! Packets of unknown connections, to the addresses that balanced connections come from.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use lb_common::{flow::FlowKey, reason::Reason, tcp};

use crate::{guard, outcome::Stop, raw};

/// Ends the path of a packet to no service. A backend's, of a connection that was idle for too long, is
/// answered by a reset, as a client's is: the host guard keeps the host from sending one.
#[inline(always)]
pub(crate) fn stop(context: &XdpContext, key: &FlowKey, flags: u8) -> Stop {
    let (addresses, ports) = key.as_words();
    if flags & tcp::RST == 0 && is_of_backend(context.ctx, addresses, ports) {
        return Stop::Reset(Reason::ResetUnknownFlow);
    }
    Reason::NotOurs.into()
}

/// A separate function, as the lookups take more stack than a packet's own path has left.
#[inline(never)]
fn is_of_backend(context: *mut xdp_md, addresses: u64, ports: u32) -> bool {
    let packet = FlowKey::of_words(addresses, ports);
    let context = XdpContext::new(context);
    guard::is_from_backend(&packet).unwrap_or(false)
        && !raw::is_of_own_connection(&context, &packet)
}
