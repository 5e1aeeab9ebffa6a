//! CPU usage of the whole machine.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

const CALM_INTERVAL: Duration = Duration::from_millis(150);

/// Idle time of all CPUs together, at a moment.
///
/// The kernel measures idle time, but only samples what a busy CPU does.
#[derive(Clone, Copy)]
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
        let tick = Duration::from_secs(1) / u32::try_from(per_second)?;
        Ok(Self { at, cpus: u32::try_from(cpus)?, idle: tick * ticks })
    }

    /// Returns the CPU time used by everything since.
    pub(super) fn busy_since(self) -> Result<Duration> {
        let now = Self::now()?;
        let elapsed = (now.at - self.at) * self.cpus;
        Ok(elapsed.saturating_sub(now.idle.saturating_sub(self.idle)))
    }
}

/// Time that a benchmark waits for others to finish.
pub(super) struct Patience {
    left: Duration,
}

impl Patience {
    pub(super) fn new(left: Duration) -> Self {
        Self { left }
    }

    /// Spends this much of it. Returns false if there is not as much.
    pub(super) fn spend(&mut self, duration: Duration) -> bool {
        let left = self.left.checked_sub(duration);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Waits until the machine is otherwise idle. Returns false if it is not.
    pub(super) fn await_calm(&mut self) -> Result<bool> {
        while !is_calm()? {
            if !self.spend(CALM_INTERVAL) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns true if the machine is idle for a moment.
pub(super) fn is_calm() -> Result<bool> {
    let before = Usage::now()?;
    sleep(CALM_INTERVAL);
    Ok(before.busy_since()? < CALM_INTERVAL / 5)
}

/// Returns ticks idle, waiting for a disk, and stolen by the hypervisor: `proc_stat(5)`, fields 4,
/// 5 and 8.
fn idle_ticks(stat: &str) -> Option<u32> {
    let all = stat.lines().find(|line| line.starts_with("cpu "))?;
    let fields: Vec<u32> = all.split_whitespace().skip(1).flat_map(str::parse).collect();
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
