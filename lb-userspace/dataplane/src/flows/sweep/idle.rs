//! Idle time-outs as ticks of the table.

use lb_common::flow::State;
use lb_model::Timeouts;

/// Maximum idle ticks of connections by state.
#[derive(Clone, Copy)]
pub(super) struct IdleLimits([u32; 4]);

impl IdleLimits {
    pub(super) fn of(timeouts: &Timeouts) -> Self {
        let Timeouts { half_open, established, closing, closed } = *timeouts;
        Self([half_open, established, closing, closed].map(|limit| {
            let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
            u32::try_from(nanos >> 20).unwrap_or(u32::MAX)
        }))
    }

    pub(super) const fn of_state(self, state: State) -> u32 {
        self.0[match state {
            State::HalfOpen => 0,
            State::Answered | State::Established => 1,
            State::Closing => 2,
            State::Closed => 3,
        }]
    }
}
