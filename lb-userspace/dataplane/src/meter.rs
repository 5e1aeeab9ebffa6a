//! Programs as the kernel measures and names them.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use aya::{
    programs::{ProgramInfo, loaded_programs},
    sys::{Stats, enable_stats},
};

/// Measurement of a program by the kernel.
#[derive(Debug)]
pub struct Meter {
    program: u32,
    before: Reading,
    _enabled: OwnedFd,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    nanoseconds: u128,
    packets: u64,
}

impl Meter {
    /// Makes the kernel measure programs until the meter is dropped.
    pub fn start(program: u32) -> Result<Self> {
        let enabled =
            enable_stats(Stats::RunTime).context("the kernel does not measure programs")?;
        Ok(Self { program, before: Reading::of(program)?, _enabled: enabled })
    }

    /// Returns the mean since the start; None if no packet was seen.
    pub fn nanoseconds_per_packet(&self) -> Result<Option<u64>> {
        let now = Reading::of(self.program)?;
        let packets = u128::from(now.packets - self.before.packets);
        let nanoseconds = now.nanoseconds - self.before.nanoseconds;
        Ok(nanoseconds.checked_div(packets).and_then(|mean| mean.try_into().ok()))
    }
}

impl Reading {
    fn of(program: u32) -> Result<Self> {
        let info = find(program).context("the program is gone")?;
        Ok(Self { nanoseconds: info.run_time().as_nanos(), packets: info.run_count() })
    }
}

/// Returns the name of a loaded program.
#[must_use]
pub fn program_name(id: u32) -> Option<String> {
    find(id)?.name_as_str().map(ToOwned::to_owned)
}

/// Returns true if the kernel has translated a loaded program to machine code, None if it shows no
/// program.
#[must_use]
pub fn are_translated() -> Option<bool> {
    let mut programs = loaded_programs().filter_map(Result::ok);
    programs.next().map(|first| first.size_jitted() > 0)
}

fn find(id: u32) -> Option<ProgramInfo> {
    loaded_programs().filter_map(Result::ok).find(|program| program.id() == id)
}
