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
    /// The running kernel's: the length of a jiffy as the kernel reports it, and the offset as it is now.
    ///
    /// # Errors
    ///
    /// Returns an error, too, in a time namespace whose clock is off by seconds: idle times of connections
    /// would be wrong. An offset of less than that is not told from the time that reading takes.
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
}

/// Returns the length of a jiffy as `clock_getres` has it: it reports `TICK_NSEC` for a coarse clock, by
/// `posix_get_coarse_res` of the kernel. It is not measured, as that would take a second.
fn nanos_per_jiffy() -> Result<u64> {
    const EXPECTED: std::ops::RangeInclusive<u64> = 100_000..=100_000_000;
    let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)
        .context("cannot read the resolution of the kernel's coarse clock")?;
    let nanos = u64::try_from(Duration::from(resolution).as_nanos())?;
    ensure!(EXPECTED.contains(&nanos), "the kernel reports a jiffy of {nanos} ns");
    Ok(nanos)
}

/// Reads both clocks, one right after the other, in one run of a program.
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

/// Returns the time of the coarse monotonic clock, which programs compute from jiffies, in [`ticks`].
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
    use std::thread::sleep;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    /// A coarse clock is behind by up to one jiffy, and a busy machine's timer interrupts are late.
    const JIFFIES: u64 = 10;

    /// A reading between two times of the precise clock.
    struct Sample {
        before: u64,
        reading: Reading,
        after: u64,
    }

    impl Sample {
        fn take() -> Self {
            let before = precise_nanos();
            let reading = read().expect("read");
            Self { before, reading, after: precise_nanos() }
        }

        /// Returns true if a clock went as far from here to a later sample as the precise one did.
        fn agrees(&self, later: &Self, scale: Scale, tolerance: u64) -> bool {
            let [from, to] = [self, later].map(|sample| scale.nanos(sample.reading.jiffies));
            let least = later.before - self.after;
            let most = later.after - self.before;
            (least - tolerance..=most + tolerance).contains(&(to - from))
        }
    }

    fn precise_nanos() -> u64 {
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has this clock");
        Duration::from(time).as_nanos().try_into().expect("centuries")
    }

    #[test]
    #[ignore = "loads a program: needs root"]
    fn the_clock_of_programs_goes_like_the_daemons() {
        let Clock(scale) = Clock::of_kernel().unwrap();
        let length = scale.nanos_per_jiffy;
        let tolerance = JIFFIES * length;
        let first = Sample::take();
        sleep(INTERVAL);
        let second = Sample::take();
        assert!(first.agrees(&second, scale, tolerance), "a jiffy is not {length} ns");
        let now = scale.nanos(second.reading.jiffies);
        assert!(
            (second.before - tolerance..=second.after + tolerance).contains(&now),
            "{now} is not in {}..={}",
            second.before,
            second.after
        );
        for wrong in [0, length / 2, length * 2] {
            let scale = Scale { nanos_per_jiffy: wrong, ..scale };
            assert!(!first.agrees(&second, scale, tolerance), "{wrong}");
        }
        let stopped = Sample { reading: first.reading, ..second };
        assert!(!first.agrees(&stopped, scale, tolerance));
    }
}
