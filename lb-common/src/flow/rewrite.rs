use super::FlowKey;
use crate::checksum::Delta;

/// The tuple that a packet gets, and the change of its checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    pub to: FlowKey,
    /// With the time to live, which is one less afterwards.
    pub ip_delta: Delta,
    pub tcp_delta: Delta,
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
}
