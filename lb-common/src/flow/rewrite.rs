use super::FlowKey;
use crate::{checksum::Delta, wire::Headers};

/// The tuple that a packet gets, and the change of its checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    to: FlowKey,
    /// With the time to live, which is one less afterwards.
    ip_delta: Delta,
    tcp_delta: Delta,
}

impl Rewrite {
    /// Returns the rule that turns packets of `from` into packets of `to`.
    #[must_use]
    #[inline(always)]
    pub fn new(from: &FlowKey, to: &FlowKey) -> Self {
        let both = Delta::NONE.address(from.src(), to.src()).address(from.dst(), to.dst());
        let ip_delta = both.plus(Delta::TTL_DECREMENT);
        let tcp_delta = both.words(from.ports, to.ports);
        Self { to: *to, ip_delta, tcp_delta }
    }

    /// Applies the rule to a packet, whose time to live must not be 0.
    #[inline(always)]
    pub fn apply(&self, headers: &mut Headers) {
        let ip = &mut headers.ip;
        ip.src = self.to.src();
        ip.dst = self.to.dst();
        ip.ttl -= 1;
        ip.checksum = self.ip_delta.apply(ip.checksum);

        let tcp = &mut headers.tcp;
        tcp.src_port = self.to.src_port();
        tcp.dst_port = self.to.dst_port();
        tcp.checksum = self.tcp_delta.apply(tcp.checksum);
    }
}
