//! Traces: packets recorded by a variant of the program, which is attached for their time only.

mod filter;
mod followed;
mod packets;

use lb_dataplane::{Batch, Capture, Records, TracedProgram, Variants};
use lb_model::{
    Refusal,
    views::trace::{Began, TraceFilter},
};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

pub(super) use self::{followed::Followed, packets::Packets};
use super::{daemon::Daemon, refusals::failed, snapshot::Snapshots, variants, views::Views};

/// Batches of records that wait for a client. More stay in the kernel's ring buffer, and then are left out.
const BACKLOG: usize = 16;

/// A program to load, and what it will record.
#[derive(Debug)]
pub struct Planned {
    variants: Variants,
    capture: Capture,
    service: Option<Followed>,
    usual_instructions: u32,
    snapshots: Snapshots,
}

/// A program that records packets, and what it will record.
#[derive(Debug)]
pub struct Prepared {
    pub(super) program: TracedProgram,
    pub(super) recording: Recording,
}

/// What a program will record.
#[derive(Debug)]
pub(super) struct Recording {
    records: Records,
    began: Began,
    service: Option<Followed>,
    snapshots: Snapshots,
}

/// What a program records, as it is read.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) began: Began,
    pub(super) service: Option<Followed>,
    pub(super) batches: mpsc::Receiver<Batch>,
    /// Ends once the batches are dropped.
    pub(super) reader: JoinHandle<anyhow::Result<()>>,
    pub(super) snapshots: Snapshots,
}

/// Plans a program that records these packets.
pub(super) fn plan(
    views: &Views<'_>,
    variants: Variants,
    filter: &TraceFilter,
    snapshots: Snapshots,
) -> Result<Planned, Refusal> {
    let service = Followed::of(views.snapshot, filter)?;
    filter::refuse_unknown_backend(views.snapshot, filter)?;
    let capture = filter::capture(service.as_ref(), filter)?;
    let usual_instructions = views.snapshot.instructions;
    Ok(Planned { variants, capture, service, usual_instructions, snapshots })
}

impl Planned {
    pub(super) async fn load(self) -> Result<Prepared, Refusal> {
        let Self { variants, capture, service, usual_instructions, snapshots } = self;
        let load = move || {
            let (program, records) = TracedProgram::load(&variants, &capture)?;
            Ok((program.instructions()?, program, records))
        };
        let (instructions, program, records) = variants::load(load).await?;
        let began = Began { instructions, usual_instructions };
        Ok(Prepared { program, recording: Recording { records, began, service, snapshots } })
    }
}

impl Recording {
    /// Reads the records from now on.
    pub(super) fn read(self) -> Trace {
        let Self { records, began, service, snapshots } = self;
        let (sender, batches) = mpsc::channel(BACKLOG);
        let reader = spawn_blocking(move || records.pass_on(&sender));
        Trace { began, service, batches, reader, snapshots }
    }
}

impl Daemon {
    /// Attaches the program of a trace.
    pub(super) fn begin_trace(&mut self, program: TracedProgram) -> Result<(), Refusal> {
        let dataplane = &mut self.kernel.dataplane;
        if dataplane.is_traced() {
            let detail = "another trace is running: end it first, or wait until it ends";
            return Err(Refusal::Conflict(detail.to_owned()));
        }
        dataplane.begin_trace(program).map_err(failed)
    }

    /// Attaches the usual program again.
    pub(super) fn end_trace(&mut self) {
        if let Err(error) = self.kernel.dataplane.end_trace() {
            log::error!("an interface still has the program of the trace: {error:#}");
        }
    }
}
