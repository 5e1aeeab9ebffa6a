//! A program in the kernel, fed with frames.

use std::{fs::File, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp, XdpMode},
};
use lb_common::template::{BURST, FRAME_LENGTH, Template};
use nix::{
    sched::{CloneFlags, unshare},
    time::{ClockId, clock_gettime},
};

use crate::programs;

/// The harness program and the program that it calls.
pub(super) struct Harness {
    ebpf: Ebpf,
    /// Namespace of the interface that the harness is attached to.
    _namespace: File,
}

impl Harness {
    /// Measures a loaded program.
    pub(super) fn of(target: &Xdp) -> Result<Self> {
        Self::new(Ebpf::load(programs::OBJECT)?, target.fd()?)
    }

    /// Measures a program that only sends the frame back.
    pub(super) fn of_nothing() -> Result<Self> {
        let mut ebpf = Ebpf::load(programs::OBJECT)?;
        let target = programs::load(&mut ebpf, "xdp_tx")?.fd()?.try_clone()?;
        Self::new(ebpf, &target)
    }

    /// Measures a program that reads one line of a table with this many buckets: `one_line`, or
    /// `one_line_waited`.
    pub(super) fn of_one_line(name: &str, buckets: u32) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("LINES", buckets)
            .override_global("LINE_BUCKETS", &buckets, true)
            .load(programs::OBJECT)?;
        let target = programs::load(&mut ebpf, name)?.fd()?.try_clone()?;
        Self::new(ebpf, &target)
    }

    fn new(mut ebpf: Ebpf, target: &ProgramFd) -> Result<Self> {
        let map = ebpf.map_mut("TARGET").context("the object has no map TARGET")?;
        ProgramArray::try_from(map)?.set(0, target, 0).context("cannot call the program")?;
        let namespace = attach(programs::load(&mut ebpf, "harness")?)?;
        Ok(Self { ebpf, _namespace: namespace })
    }

    /// Sends frames; returns the CPU time of one, in nanoseconds.
    pub(super) fn run(&mut self, template: &Template, frames: u32) -> Result<f64> {
        let map = self.ebpf.map_mut("TEMPLATE").context("the object has no map TEMPLATE")?;
        Array::<_, Template>::try_from(map)?.set(0, template, 0)?;
        let program: &Xdp =
            self.ebpf.program("harness").context("the object has no harness")?.try_into()?;
        let room = [0; FRAME_LENGTH * BURST as usize];
        let options =
            TestRunOptions { data_in: Some(&room), repeat: frames, ..TestRunOptions::default() };
        let before = cpu_time()?;
        let result = program.test_run(options).context("the kernel does not run the harness")?;
        let spent = cpu_time()?.saturating_sub(before);
        ensure!(result.return_value != 0, "the program gave up");
        Ok(spent.as_secs_f64() * 1e9 / f64::from(frames))
    }
}

/// Attaches a program where there are no frames. The kernel's XDP dispatcher has a slot for an
/// attached one; any other is added for each run, and removed again: tens of milliseconds.
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
