//! Entries whose client is reached by another hop, which a program of its own writes.

use std::borrow::Cow;

use anyhow::{Context as _, Result};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use aya_obj::programs::XdpAttachType;
use lb_common::event::{CLIENT_HOPS, ClientHop};

use super::Dataplane;

/// The name of the program that writes them.
pub(super) const PROGRAM: &str = "client_hops";

/// Has the program write them, from whichever thread.
#[derive(Debug)]
pub struct HopWriter(Xdp);

impl Dataplane {
    pub fn hop_writer(&self) -> Result<HopWriter> {
        let program = self.ebpf.program(PROGRAM).context("the object has no program for hops")?;
        let program: &Xdp = program.try_into()?;
        let (info, name) = (program.info()?, Cow::Borrowed(PROGRAM));
        let shared = Xdp::from_program_info(info, name, XdpAttachType::Interface);
        shared.context("cannot open the program for hops").map(HopWriter)
    }
}

impl HopWriter {
    /// Has replies go by other hops. An entry that has changed since it was read is left as it is.
    pub fn write(&self, hops: &[ClientHop]) -> Result<()> {
        for batch in hops.chunks(CLIENT_HOPS) {
            let data_in = Some(bytemuck::cast_slice(batch));
            let options = TestRunOptions { data_in, ..TestRunOptions::default() };
            self.0.test_run(options).context("cannot write hops of clients")?;
        }
        Ok(())
    }
}
