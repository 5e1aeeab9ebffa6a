//! A program in the kernel, fed with generated frames.

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf,
    maps::{Array, PerCpuArray, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp, XdpMode},
};
use lb_common::template::{BURST, FRAME_LENGTH, Template};
use lb_tests::object::Action;
use nix::{
    sched::{CloneFlags, unshare},
    time::{ClockId, clock_gettime},
};

use crate::programs;

/// The harness program and the program it calls.
pub(super) struct Harness {
    ebpf: Ebpf,
    /// Namespace in which the harness is attached to an interface.
    _namespace: File,
}

/// A run of a harness.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// CPU time per frame, in nanoseconds.
    pub(super) cost: f64,
    /// CPU time of all.
    pub(super) spent: Duration,
    pub(super) begin: Instant,
    pub(super) end: Instant,
    /// XDP's action on the last frame.
    action: u32,
}

#[cfg(test)]
impl Run {
    pub(super) const fn new(spent: Duration, begin: Instant, end: Instant) -> Self {
        Self { cost: 1.0, spent, begin, end, action: Action::Tx as u32 }
    }
}

impl Harness {
    /// Measures a loaded program.
    pub(super) fn of(target: &ProgramFd) -> Result<Self> {
        let mut ebpf = Ebpf::load(programs::OBJECT)?;
        let map = ebpf.map_mut("TARGET").context("the object has no map TARGET")?;
        ProgramArray::try_from(map)?.set(0, target, 0).context("cannot call the program")?;
        let namespace = attach(programs::load(&mut ebpf, "harness")?)?;
        Ok(Self { ebpf, _namespace: namespace })
    }

    /// Sends frames; returns the CPU time per frame, in nanoseconds. The last one must end with this
    /// action.
    pub(super) fn run(&mut self, template: &Template, frames: u32, action: Action) -> Result<f64> {
        self.load(template)?;
        let run = self.fire(frames)?;
        ensure!(run.action == action as u32, "XDP's action was {}, not {action:?}", run.action);
        Ok(run.cost)
    }

    /// Sets the frames of the next run.
    pub(super) fn load(&mut self, template: &Template) -> Result<()> {
        let map = self.ebpf.map_mut("TEMPLATE").context("the object has no map TEMPLATE")?;
        Ok(Array::<_, Template>::try_from(map)?.set(0, template, 0)?)
    }

    /// Sends frames.
    pub(super) fn fire(&mut self, frames: u32) -> Result<Run> {
        let program: &Xdp =
            self.ebpf.program("harness").context("the object has no harness")?.try_into()?;
        let room = [0; FRAME_LENGTH * BURST as usize];
        let options =
            TestRunOptions { data_in: Some(&room), repeat: frames, ..TestRunOptions::default() };
        let (begin, before) = (Instant::now(), cpu_time()?);
        let result = program.test_run(options).context("the kernel does not run the harness")?;
        let (spent, end) = (cpu_time()?.saturating_sub(before), Instant::now());
        ensure!(astray(&self.ebpf)? == 0, "the harness did not reach the program");
        let cost = spent.as_secs_f64() * 1e9 / f64::from(frames);
        Ok(Run { cost, spent, begin, end, action: result.return_value })
    }
}

/// Returns the number of frames that did not take the path that is measured.
pub(super) fn astray(ebpf: &Ebpf) -> Result<u64> {
    let map = ebpf.map("ASTRAY").context("the object has no map ASTRAY")?;
    let counts = PerCpuArray::<_, u64>::try_from(map)?.get(&0, 0)?;
    Ok(counts.iter().sum())
}

/// Attaches a program where there is no traffic. An attached program is in the kernel's XDP
/// dispatcher; any other is added for each run, and removed again, which takes tens of
/// milliseconds.
fn attach(program: &mut Xdp) -> Result<File> {
    let attach = || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        program.attach("lo", XdpMode::Skb).context("cannot attach the harness")?;
        Ok(File::open("/proc/thread-self/ns/net")?)
    };
    let attached = thread::scope(|scope| scope.spawn(attach).join());
    attached.map_err(|_| anyhow!("attaching the harness panicked"))?
}

/// Returns the CPU time of this thread.
fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
