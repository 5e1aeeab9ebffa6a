//! Full NAT: both addresses and both ports are rewritten, on the way there and on the way back.

use lb_common::{backend::Hop, checksum::Delta, flow::Rewrite, wire::Headers};

/// Makes the frame what `rewrite` says and addresses it to `hop`. The time to live must not be 0.
#[inline(always)]
pub(crate) fn apply(headers: &mut Headers, rewrite: &Rewrite, hop: &Hop) {
    headers.ethernet.dst = hop.dst_mac.bytes();
    headers.ethernet.src = hop.src_mac.bytes();

    let ip = &mut headers.ip;
    ip.src = rewrite.to.src;
    ip.dst = rewrite.to.dst;
    ip.ttl -= 1;
    let delta = Delta::stored(rewrite.ip_delta).plus(Delta::TTL_DECREMENT);
    ip.checksum = delta.apply(ip.checksum);

    let tcp = &mut headers.tcp;
    tcp.src_port = rewrite.to.src_port;
    tcp.dst_port = rewrite.to.dst_port;
    tcp.checksum = Delta::stored(rewrite.tcp_delta).apply(tcp.checksum);
}
