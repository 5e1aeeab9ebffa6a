//! Entries whose client is reached by another hop, which a program of its own writes.

use anyhow::{Context as _, Result};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use lb_common::event::{CLIENT_HOPS, ClientHop};

use super::Dataplane;

/// The name of the program that writes them.
pub(super) const PROGRAM: &str = "client_hops";

impl Dataplane {
    /// Has replies go by other hops. An entry that has changed since it was read is left as it is.
    pub fn write_client_hops(&self, hops: &[ClientHop]) -> Result<()> {
        let program = self.ebpf.program(PROGRAM).context("the object has no program for hops")?;
        let program: &Xdp = program.try_into()?;
        for batch in hops.chunks(CLIENT_HOPS) {
            let data_in = Some(bytemuck::cast_slice(batch));
            let options = TestRunOptions { data_in, ..TestRunOptions::default() };
            program.test_run(options).context("cannot write hops of clients")?;
        }
        Ok(())
    }
}
