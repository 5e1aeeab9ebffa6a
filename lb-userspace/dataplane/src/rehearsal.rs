//! What the loaded program would do with a packet: a variant of it, which writes to no map but its own.

use std::fmt;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, PerCpuValues},
    programs::{TestRun as _, TestRunOptions, Xdp},
    util::nr_cpus,
};
use bytemuck::Zeroable as _;
use lb_common::{capture::Record, trail::Trail};

use super::{load::PROGRAM, object::close_maps, variants::Variants};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/explain.bpf.o"));

/// More than the program adds to a frame.
const ROOM: usize = 64;

/// The variant that tells what would happen to packets.
pub struct Rehearsal {
    ebpf: Ebpf,
    trail: PerCpuArray<MapData, Record>,
}

impl fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal").finish_non_exhaustive()
    }
}

/// What would happen to a packet.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    pub trail: Trail,
    /// The frame, as the program would leave it.
    pub frame: Vec<u8>,
}

/// The context of an XDP program, as userspace hands it over: `struct xdp_md` of linux/bpf.h.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Context {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

impl Rehearsal {
    /// Loads it, which takes a moment.
    pub fn load(variants: &Variants) -> Result<Self> {
        let mut ebpf = variants.load(OBJECT, |_| {})?;
        let trail = ebpf.take_map("TRAIL").context("the object has no trail")?.try_into()?;
        close_maps(&mut ebpf, &[]);
        Ok(Self { ebpf, trail })
    }

    /// Returns what would happen to a frame that comes in by this interface, on this CPU.
    pub fn run(&mut self, frame: &[u8], ingress: u32) -> Result<Rehearsed> {
        let none = vec![Record::zeroed(); nr_cpus().map_err(|(_, error)| error)?];
        self.trail.set(0, PerCpuValues::try_from(none)?, 0)?;
        let context = Context {
            data_end: frame.len().try_into()?,
            ingress_ifindex: ingress,
            ..Context::zeroed()
        };
        let mut left = vec![0; frame.len() + ROOM];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut left),
            ctx_in: Some(bytemuck::bytes_of(&context)),
            ..TestRunOptions::default()
        };
        let program: &Xdp =
            self.ebpf.program(PROGRAM).context("checked when loaded")?.try_into()?;
        let result = program.test_run(options).context("cannot run the program")?;
        left.truncate(result.data_size_out as usize);
        let records = self.trail.get(&0, 0)?;
        let record = records.iter().find(|record| record.trail.reason != 0);
        let trail = record.context("the program has left no trail")?.trail;
        Ok(Rehearsed { trail, frame: left })
    }
}
