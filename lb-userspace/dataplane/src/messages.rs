//! Messages of the program on single connections, for the log.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya_log::EbpfLogger;
use log::{Level, log_enabled};
use tokio::time::interval;

use super::Dataplane;

/// Interval of fetching the program's messages.
const FETCH: Duration = Duration::from_millis(100);

impl Dataplane {
    /// Forwards the program's messages to the log until the runtime ends. Must be called within a
    /// tokio runtime.
    pub fn follow_messages(&mut self) -> Result<()> {
        if !log_enabled!(Level::Debug) {
            return Ok(());
        }
        let messages = EbpfLogger::init(&mut self.ebpf);
        let mut messages = messages.context("cannot read the program's messages")?;
        tokio::spawn(async move {
            let mut fetch = interval(FETCH);
            loop {
                fetch.tick().await;
                messages.flush();
            }
        });
        Ok(())
    }
}
