//! What the whole machine does.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

/// How long all CPUs together have been idle, at a moment.
///
/// The kernel measures idle time, whereas it samples what a busy CPU is busy with.
pub(super) struct Usage {
    at: Instant,
    cpus: u32,
    idle: Duration,
}

impl Usage {
    pub(super) fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let at = Instant::now();
        let ticks = idle_ticks(&stat).context("/proc/stat has no line of all CPUs")?;
        let cpus = stat.lines().filter(|line| line.starts_with("cpu")).count() - 1;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the clock has no rate")?;
        let idle = Duration::from_secs_f64(ticks as f64 / per_second as f64);
        Ok(Self { at, cpus: u32::try_from(cpus)?, idle })
    }

    /// CPU time used by everything until a later moment.
    pub(super) fn busy_until(&self, later: Self) -> Duration {
        ((later.at - self.at) * self.cpus).saturating_sub(later.idle - self.idle)
    }
}

/// Idle, waiting for a disk, and stolen by the hypervisor: `proc_stat(5)`, fields 4, 5 and 8.
fn idle_ticks(stat: &str) -> Option<u64> {
    let all = stat.lines().find(|line| line.starts_with("cpu "))?;
    let fields: Vec<u64> = all.split_whitespace().skip(1).flat_map(str::parse).collect();
    Some(fields.get(3)? + fields.get(4)? + fields.get(7)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn idle_is_what_no_process_used() {
        let stat = "cpu  10 1 20 300 40 5 6 7 0 0\ncpu0 10 1 20 300 40 5 6 7 0 0\nintr 9\n";
        assert_eq!(super::idle_ticks(stat), Some(347));
    }
}
