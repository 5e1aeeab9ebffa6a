//! Clock of BPF programs and [`now`].

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use lb_common::{
    clock::{Reading, Scale},
    flow::ticks,
};
use nix::time::{ClockId, clock_getres, clock_gettime};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/clock.bpf.o"));

const PROGRAM: &str = "clock";

/// More than reading both clocks takes, even on a busy machine.
const TOLERANCE: Duration = Duration::from_secs(2);

/// More than a test run's frame has at least, which is an Ethernet header.
const FRAME: usize = 64;

/// Constants of the clock that a program gets when it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Scale);

impl Clock {
    /// The running kernel's.
    ///
    /// # Errors
    ///
    /// In a time namespace with a clock of its own, too: idle times of connections would be wrong.
    pub fn of_kernel() -> Result<Self> {
        let reading = read()?;
        let difference = Duration::from_nanos(coarse_nanos().abs_diff(reading.nanos));
        ensure!(
            difference < TOLERANCE,
            "the monotonic clock of this process differs from the kernel's by {difference:.0?}: start the \
             daemon outside of a time namespace, or without its offsets"
        );
        Ok(Self(Scale::new(nanos_per_jiffy()?, reading)))
    }

    pub fn prepare<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        let Self(Scale { nanos_per_jiffy, offset }) = self;
        loader.override_global("NANOS_PER_JIFFY", nanos_per_jiffy, true);
        loader.override_global("JIFFIES_OFFSET", offset, true);
    }

    /// Returns the current time as read by programs, in nanoseconds.
    pub fn nanos(&self) -> Result<u64> {
        Ok(self.0.nanos(read()?.jiffies))
    }
}

/// Returns the length of a jiffy, which is the resolution of a coarse clock: `TICK_NSEC`, by
/// `posix_get_coarse_res` of the kernel.
fn nanos_per_jiffy() -> Result<u64> {
    const EXPECTED: std::ops::RangeInclusive<u64> = 100_000..=100_000_000;
    let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)
        .context("cannot read the resolution of the kernel's coarse clock")?;
    let nanos = u64::try_from(Duration::from(resolution).as_nanos())?;
    ensure!(EXPECTED.contains(&nanos), "the kernel reports a jiffy of {nanos} ns");
    Ok(nanos)
}

/// Reads both clocks at the same time.
fn read() -> Result<Reading> {
    let mut ebpf = Ebpf::load(OBJECT).context("cannot load the program that reads the clock")?;
    let program: &mut Xdp =
        ebpf.program_mut(PROGRAM).context("the object has no clock")?.try_into()?;
    program.load().context("the kernel rejects the program that reads the clock")?;
    let mut frame = [0; FRAME];
    let options = TestRunOptions {
        data_in: Some(&[0; FRAME]),
        data_out: Some(&mut frame),
        ..TestRunOptions::default()
    };
    program.test_run(options).context("cannot read the kernel's clock")?;
    Ok(bytemuck::pod_read_unaligned(&frame[..size_of::<Reading>()]))
}

/// Returns the time of the programs' clock, in [`ticks`].
///
/// # Panics
///
/// If the kernel lacks the clock, as before 2009.
#[must_use]
pub fn now() -> u32 {
    ticks::from_nanos(coarse_nanos())
}

pub(crate) fn coarse_nanos() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).expect("Linux has this clock");
    u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Clock, TOLERANCE, coarse_nanos};

    #[test]
    #[ignore = "loads a program: needs root"]
    fn programs_read_the_clock_that_the_daemon_reads() {
        let clock = Clock::of_kernel().unwrap();
        let start = coarse_nanos();
        let until = start + 1_000_000_000;
        while coarse_nanos() < until {
            let (before, read, after) = (coarse_nanos(), clock.nanos().unwrap(), coarse_nanos());
            let tolerance = u64::try_from(TOLERANCE.as_nanos()).unwrap();
            assert!(
                (before - tolerance..after + tolerance).contains(&read),
                "{before} {read} {after}"
            );
        }
    }
}
