//! The decision on a frame.

use lb_common::reason::Reason;

use crate::egress::Egress;

#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) reason: Reason,
    /// Used only if the reason's verdict is to send the frame.
    pub(crate) egress: Egress,
}

impl From<Reason> for Outcome {
    fn from(reason: Reason) -> Self {
        Self { reason, egress: Egress::Back }
    }
}
