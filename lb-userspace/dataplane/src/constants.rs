//! Constants that programs get when they are loaded.

use anyhow::Result;
use aya::EbpfLoader;
use lb_common::{rate_limiter::each_window, service_table};
use lb_model::Limits;

use super::{active::Lanes, clock::Clock, flows::TablePlan};

/// Constants of the balancer's program, in all of its variants.
#[derive(Clone, Copy, Debug)]
pub struct Constants {
    /// Level of the program's log messages.
    pub level: u8,
    /// Number of resets that a CPU may send in each window of a rate limiter.
    pub resets: u32,
    pub service_buckets: u32,
    /// 1 if addresses are in groups, else 0.
    pub has_groups: u8,
    pub clock: Clock,
    pub lanes: Lanes,
    pub plan: TablePlan,
}

impl Constants {
    pub(super) fn new(limits: &Limits, has_groups: bool, plan: TablePlan) -> Result<Self> {
        Ok(Self {
            level: log::max_level() as u8,
            resets: each_window(limits.resets),
            service_buckets: service_table::buckets(limits.services),
            has_groups: has_groups.into(),
            clock: Clock::of_kernel()?,
            lanes: Lanes::new(limits.backends)?,
            plan,
        })
    }

    pub fn prepare<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader.override_global(aya_log::LEVEL, &self.level, true);
        loader.override_global("RESETS_EACH", &self.resets, true);
        loader.override_global("SERVICE_BUCKETS", &self.service_buckets, true);
        loader.override_global("HAS_GROUPS", &self.has_groups, true);
        self.clock.prepare(loader);
        self.lanes.prepare(loader);
        self.plan.prepare(loader);
    }
}
