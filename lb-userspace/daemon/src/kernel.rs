//! The program and its maps.

use std::{path::Path, sync::Arc};

use anyhow::Result;
use lb_dataplane::{CounterReader, Dataplane, Runs, adoption::Adopted, plan::Goal};
use lb_model::Limits;

use super::sync::MapSync;

pub(super) struct Kernel {
    pub(super) dataplane: Dataplane,
    pub(super) counters: Arc<CounterReader>,
    pub(super) sync: MapSync,
    /// Number of instructions of the program.
    pub(super) instructions: u32,
    /// Runs of the program, if the kernel counts them.
    pub(super) runs: Runs,
    /// True if forwarding ends with the daemon.
    is_fleeting: bool,
}

impl Kernel {
    pub(super) fn new(dataplane: Dataplane, adopted: &Adopted, limits: Limits) -> Self {
        let is_fleeting = !dataplane.is_lasting();
        let instructions = dataplane.instructions().unwrap_or_default();
        let (counters, sync) = (dataplane.counters(), MapSync::new(adopted, limits));
        Self { dataplane, counters, sync, instructions, runs: Runs::default(), is_fleeting }
    }

    /// Notes how often the program has run by now.
    pub(super) fn count_runs(&mut self) {
        match self.dataplane.runs() {
            Ok(runs) => self.runs = runs,
            Err(error) => log::debug!("the runs of the program are unknown: {error:#}"),
        }
    }

    /// Updates the maps from `present` to `next`, or returns an error and changes nothing.
    pub(super) fn commit(&mut self, present: &Goal, next: &Goal) -> Result<()> {
        self.sync.commit(self.dataplane.maps(), present, next)
    }

    /// Like [`Self::commit`], but what fails is tried again later.
    pub(super) fn follow(&mut self, present: &Goal, next: &Goal) {
        self.sync.follow(self.dataplane.maps(), present, next);
    }

    /// Returns a warning if the pins are on a file system that only the daemon's mount namespace
    /// has mounted.
    pub(super) fn fleeting(&self, bpffs: &Path) -> Option<String> {
        let bpffs = bpffs.display();
        self.is_fleeting.then(|| {
            format!(
                "forwarding ends with the daemon: {bpffs} is a BPF file system of its own mount \
                 namespace, as in `ip netns exec` or a container: mount it on the host, and \
                 bind-mount it for the daemon"
            )
        })
    }

    pub(super) fn say_goodbye(&self) {
        if self.dataplane.is_lasting() {
            log::info!("stopped; forwarding continues until `xdplb detach`");
        } else {
            log::warn!("stopped; forwarding ends with this process's mount namespace");
        }
    }
}
