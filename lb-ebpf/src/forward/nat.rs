//! Full NAT: both addresses and both ports are rewritten, in both directions.

use lb_common::{backend::Hop, flow::Rewrite, wire::Headers};

/// Applies `rewrite` to the frame and addresses it to `hop`. The time to live must not be 0.
#[inline(always)]
pub(crate) fn apply(headers: &mut Headers, rewrite: &Rewrite, hop: &Hop) {
    headers.ethernet.set_macs(hop.macs());

    let ip = &mut headers.ip;
    let to = rewrite.to;
    ip.src = to.src();
    ip.dst = to.dst();
    ip.ttl -= 1;
    ip.checksum = rewrite.ip_delta.apply(ip.checksum);

    let tcp = &mut headers.tcp;
    tcp.src_port = to.src_port();
    tcp.dst_port = to.dst_port();
    tcp.checksum = rewrite.tcp_delta.apply(tcp.checksum);
}
