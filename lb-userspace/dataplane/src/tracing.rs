//! The variant of the program that records packets, and its records.

use std::{fmt, os::fd::AsFd as _};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, RingBuf},
    programs::Xdp,
};
use lb_common::{
    capture::{Record, Wanted},
    rate_limiter::each_window,
    reason::Reason,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, poll},
};
use tokio::sync::mpsc::Sender;

use super::{Dataplane, load::PROGRAM, variants::Variants};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trace.bpf.o"));

/// The packets to record: those that meet all of this.
#[derive(Clone, Debug)]
pub struct Capture {
    pub client: Wanted,
    pub vip: Wanted,
    pub backend: Wanted,
    pub reasons: Vec<Reason>,
    /// One of this many is recorded, at random; at least 1.
    pub sample: u32,
    /// Maximum number of records in a second, on each CPU.
    pub per_second: u32,
}

/// The program to attach for the time of a trace.
pub struct TracedProgram(pub(super) Ebpf);

impl fmt::Debug for TracedProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedProgram").finish_non_exhaustive()
    }
}

/// Some records.
#[derive(Debug)]
pub struct Batch {
    pub records: Vec<Record>,
    /// Number of packets so far that were wanted, but exceeded the rate limit or the room.
    pub left_out: u64,
}

/// What the program records.
pub struct Records {
    ring: RingBuf<MapData>,
    left_out: PerCpuArray<MapData, u64>,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}

/// Milliseconds within which the end of a listener is noticed.
const ATTENTION: u8 = 100;

/// Maximum number of records that are read at once.
const BATCH: usize = 256;

impl TracedProgram {
    /// Loads it, which takes a moment.
    pub fn load(variants: &Variants, capture: &Capture) -> Result<(Self, Records)> {
        let [client, vip, backend] =
            [capture.client, capture.vip, capture.backend].map(Wanted::as_words);
        let bits = capture.reasons.iter().map(|reason| 1_u64 << (*reason as u32 + 1));
        let reasons = bits.fold(0, |all, bit| all | bit);
        let each = each_window(capture.per_second);
        let mut ebpf = variants.load(OBJECT, |loader| {
            loader.override_global("CAPTURE_CLIENT", &client[..], true);
            loader.override_global("CAPTURE_VIP", &vip[..], true);
            loader.override_global("CAPTURE_BACKEND", &backend[..], true);
            loader.override_global("CAPTURE_REASONS", &reasons, true);
            loader.override_global("CAPTURE_SAMPLE", &capture.sample, true);
            loader.override_global("CAPTURES_EACH", &each, true);
        })?;
        let mut take = |name| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        let ring = take("CAPTURED")?.try_into()?;
        let left_out = take("NOT_CAPTURED")?.try_into()?;
        Ok((Self(ebpf), Records { ring, left_out }))
    }

    /// Returns the number of instructions of the program, as the kernel runs it.
    pub fn instructions(&self) -> Result<u32> {
        instructions(&self.0)
    }
}

impl Records {
    /// Passes records on until the listener is closed.
    pub fn pass_on(mut self, listener: &Sender<Batch>) -> Result<()> {
        let mut told = 0;
        while !listener.is_closed() {
            self.wait()?;
            let (records, left_out) = (self.next(), self.left_out()?);
            if records.is_empty() && left_out == told {
                continue;
            }
            told = left_out;
            if listener.blocking_send(Batch { records, left_out }).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn left_out(&self) -> Result<u64> {
        Ok(self.left_out.get(&0, 0)?.iter().sum())
    }

    fn wait(&self) -> Result<()> {
        let mut fds = [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, ATTENTION) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for records"),
        }
    }

    fn next(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        while records.len() < BATCH
            && let Some(bytes) = self.ring.next()
        {
            records.extend(bytemuck::try_pod_read_unaligned::<Record>(&bytes).ok());
        }
        records
    }
}

impl Dataplane {
    /// Attaches the program of a trace to all interfaces in place of the usual one.
    pub fn begin_trace(&mut self, program: TracedProgram) -> Result<()> {
        self.traced = Some(program);
        let replaced = self.replace_everywhere();
        if replaced.is_err()
            && let Err(error) = self.end_trace()
        {
            log::error!("cannot attach the usual program to every interface again: {error:#}");
        }
        replaced
    }

    /// Attaches the usual program again, if there is a trace.
    pub fn end_trace(&mut self) -> Result<()> {
        let Some(_traced) = self.traced.take() else { return Ok(()) };
        self.replace_everywhere()
    }

    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.traced.is_some()
    }

    /// Returns the number of instructions of the usual program, as the kernel runs it.
    pub fn instructions(&self) -> Result<u32> {
        instructions(&self.ebpf)
    }

    /// Replaces the program of every link. Goes on if one fails, and returns the first error.
    fn replace_everywhere(&mut self) -> Result<()> {
        let links = self.pins.links()?;
        let replaced = links.into_iter().map(|ifindex| self.replace_program(ifindex).map(drop));
        replaced.fold(Ok(()), Result::and)
    }
}

fn instructions(ebpf: &Ebpf) -> Result<u32> {
    let program: &Xdp = ebpf.program(PROGRAM).context("the object has no program")?.try_into()?;
    let bytes = program.info()?.size_translated().context("the kernel tells no size")?;
    Ok(bytes / 8)
}
