//! Time-outs, intervals and other durations.

use std::{ops::RangeInclusive, time::Duration};

use crate::{
    diagnostics::{Diagnostic, Findings},
    located::{Located, Period},
};

/// The maximum is well below the 26 days after which the flow table's clock wraps.
const PERIODS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(7 * 24);

/// Adds a finding for each period out of range.
pub(super) fn check_periods<const N: usize>(
    periods: [Option<&Located<Period>>; N],
    findings: &mut Findings,
) {
    for period in periods.into_iter().flatten() {
        if !PERIODS.contains(&**period.get_ref()) {
            findings.push(Diagnostic::error(
                period.span(),
                "this time is out of range",
                "give 1ms to 7d, as in \"500ms\", \"2s\" or \"3h\"",
            ));
        }
    }
}
