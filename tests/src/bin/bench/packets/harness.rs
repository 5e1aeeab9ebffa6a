//! A program in the kernel, fed with the same frame again and again.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use lb_common::template::{FRAME_LENGTH, Template};
use nix::time::{ClockId, clock_gettime};

const OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../lb-ebpf/object/bench.bpf.o"
));

/// The harness program and the one that it calls.
pub struct Harness {
    ebpf: Ebpf,
}

impl Harness {
    /// Measures a loaded program.
    pub fn of(target: &Xdp) -> Result<Self> {
        Self::load()?.call(target.fd()?)
    }

    /// Measures a program that does nothing but send the frame back.
    pub fn of_nothing() -> Result<Self> {
        let mut harness = Self::load()?;
        let nothing = harness.program("xdp_tx")?;
        nothing.load()?;
        let fd = nothing.fd()?.try_clone()?;
        harness.call(&fd)
    }

    fn load() -> Result<Self> {
        let mut harness = Self { ebpf: Ebpf::load(OBJECT)? };
        harness.program("harness")?.load().context("the kernel refuses the harness")?;
        Ok(harness)
    }

    fn call(mut self, target: &ProgramFd) -> Result<Self> {
        let map = self.ebpf.map_mut("TARGET").context("the object has no map TARGET")?;
        ProgramArray::try_from(map)?.set(0, target, 0).context("cannot call the program")?;
        Ok(self)
    }

    fn program(&mut self, name: &str) -> Result<&mut Xdp> {
        let program = self.ebpf.program_mut(name);
        let program = program.with_context(|| format!("the object has no program {name}"))?;
        Ok(program.try_into()?)
    }

    /// Sends frames; returns the CPU time that one took, in nanoseconds.
    pub fn run(&mut self, template: &Template, frames: u32) -> Result<f64> {
        let map = self.ebpf.map_mut("TEMPLATE").context("the object has no map TEMPLATE")?;
        Array::<_, Template>::try_from(map)?.set(0, template, 0)?;
        let program: &Xdp =
            self.ebpf.program("harness").context("the object has no harness")?.try_into()?;
        let room = [0; FRAME_LENGTH];
        let options =
            TestRunOptions { data_in: Some(&room), repeat: frames, ..TestRunOptions::default() };
        let before = cpu_time()?;
        program.test_run(options).context("the kernel does not run the harness")?;
        let spent = cpu_time()?.saturating_sub(before);
        Ok(spent.as_secs_f64() * 1e9 / f64::from(frames))
    }
}

/// What this thread has used of any CPU.
fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
