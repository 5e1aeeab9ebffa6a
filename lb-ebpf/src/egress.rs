//! Egress interfaces.

use aya_ebpf::{bindings::xdp_action, btf_maps::DevMapHash, macros::btf_map};
use lb_common::{limits, reason::Reason};

/// Interfaces that frames may leave by, by their index.
#[btf_map]
static TX_PORTS: DevMapHash<{ limits::TX_PORTS as usize }> = DevMapHash::new();

#[derive(Clone, Copy)]
pub(crate) enum Egress {
    /// By the interface that the frame came in by.
    Back,
    /// By the interface with this index.
    Other(u32),
}

impl Egress {
    #[inline(always)]
    pub(crate) fn between(ingress: u32, egress: u32) -> Self {
        if ingress == egress { Self::Back } else { Self::Other(egress) }
    }

    /// Returns the index of the interface, of a frame that came in by this one.
    #[inline(always)]
    pub(crate) fn index(self, ingress: u32) -> u32 {
        match self {
            Self::Back => ingress,
            Self::Other(ifindex) => ifindex,
        }
    }

    /// Returns the XDP action that sends the frame.
    #[inline(always)]
    pub(crate) fn transmit(self) -> Result<u32, Reason> {
        match self {
            Self::Back => Ok(xdp_action::XDP_TX),
            Self::Other(ifindex) => TX_PORTS.redirect(ifindex, 0).map_err(|_| Reason::NoEgress),
        }
    }
}
