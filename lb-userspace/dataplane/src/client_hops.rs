//! Changes of next hops in flow entries, written by a separate BPF program.

use anyhow::{Context as _, Result, ensure};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya_obj::programs::XdpAttachType;
use lb_common::{
    client_hops::SLOTS,
    event::{ClientHop, HOPS_EACH_RUN},
};

use super::{Dataplane, pins::unpin};

/// Name of the program that writes them.
pub(super) const PROGRAM: &str = "client_hops";

/// `XDP_PASS` of the kernel's `enum xdp_action`.
const XDP_PASS: u32 = 2;

/// Runs the program, from any thread.
#[derive(Debug)]
pub struct HopWriter(Xdp);

impl Dataplane {
    /// Opens the program by a temporary pin: opening it by its id needs more privileges than the
    /// systemd unit has.
    pub fn hop_writer(&mut self) -> Result<HopWriter> {
        let pin = self.pins.map(PROGRAM);
        if pin.exists() {
            unpin(&pin)?;
        }
        let program = self.ebpf.program_mut(PROGRAM);
        let program: &mut Xdp =
            program.context("the object has no program for hops")?.try_into()?;
        program.pin(&pin).context("cannot pin the program for hops")?;
        let opened = Xdp::from_pin(&pin, XdpAttachType::Interface);
        unpin(&pin)?;
        opened.context("cannot open the program for hops").map(HopWriter)
    }
}

impl HopWriter {
    /// Changes the next hops of replies. Entries that have changed since they were read are
    /// skipped.
    ///
    /// # Errors
    ///
    /// Returns an error if the program cannot be run, or if there is no room for some of the hops; the
    /// others are written.
    pub fn write(&self, hops: &[ClientHop]) -> Result<()> {
        let mut has_room = true;
        for batch in hops.chunks(HOPS_EACH_RUN) {
            let data_in = Some(bytemuck::cast_slice(batch));
            let options = TestRunOptions { data_in, ..TestRunOptions::default() };
            let result = self.0.test_run(options).context("cannot write hops of clients")?;
            has_room &= result.return_value == XDP_PASS;
        }
        ensure!(has_room, "there is room for {} next hops to clients, and no more", SLOTS - 1);
        Ok(())
    }
}
