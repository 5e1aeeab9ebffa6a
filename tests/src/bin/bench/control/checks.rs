//! Cost of many health checks.

use anyhow::Result;

use super::{Extent, Row, crowd::Crowd, share_of_a_core, testbed};
use crate::plan::Plan;

/// Measures the share of a core that checks of this many backends every two seconds take.
pub(super) fn measure(extent: &Extent) -> Result<Row> {
    let testbed = testbed()?;
    let balancer = Crowd { services: 1, backends: extent.checks }.start(&testbed, "")?;
    let mut shares = Vec::new();
    for _ in 0..extent.rounds.div_ceil(10) {
        Plan::check()?;
        shares.push(share_of_a_core(balancer.pid()));
    }
    Ok(Row::new("TCP checks of all backends every 2 s", "% of a core", shares))
}
