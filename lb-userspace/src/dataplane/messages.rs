//! What the program says of single connections, if the log is to hold it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya_log::EbpfLogger;
use log::{Level, log_enabled};
use tokio::time::interval;

use super::Dataplane;

/// How often the program's messages are fetched.
const FETCH: Duration = Duration::from_millis(100);

impl Dataplane {
    /// Passes the program's messages on to the log, as long as the runtime lives. To be called
    /// within a tokio runtime.
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
