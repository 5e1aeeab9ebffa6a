//! Decisions on frames.

use lb_common::reason::{Reason, Verdict};

use crate::egress::Egress;

/// The decision on a frame.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Tx(Egress, Reason),
    Pass(Reason),
    Drop(Reason),
}

/// The end of a frame's path before it is forwarded.
pub(crate) enum Stop {
    /// The frame is passed or dropped, never sent, whatever the reason's verdict is.
    Quietly(Reason),
    /// The frame becomes the reset that answers it.
    Reset(Reason),
}

impl From<Reason> for Stop {
    #[inline(always)]
    fn from(reason: Reason) -> Self {
        Self::Quietly(reason)
    }
}

impl Outcome {
    #[inline(always)]
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Tx(_, reason) | Self::Pass(reason) | Self::Drop(reason) => reason,
        }
    }

    /// The outcome of a frame that is not sent.
    #[inline(always)]
    pub(crate) fn of_unsent(reason: Reason) -> Self {
        match reason.verdict() {
            Verdict::Pass => Self::Pass(reason),
            Verdict::Drop | Verdict::Tx => Self::Drop(reason),
        }
    }
}
