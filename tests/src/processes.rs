//! The kernel's data about a process.

use std::{fs, time::Duration};

/// Returns the CPU time of a process.
///
/// # Panics
///
/// If there is no such process.
#[must_use]
pub fn cpu_time(pid: u32) -> Duration {
    /// The kernel's unit: `USER_HZ`.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| TICK * ticks.parse::<u32>().expect("a number")).sum()
}

/// Returns the bytes of memory of a process alone: maps that it shares with the kernel do not
/// count.
///
/// # Panics
///
/// If there is no such process.
#[must_use]
pub fn own_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).expect("a number");
    kilobytes.parse::<u64>().expect("a number") << 10
}
