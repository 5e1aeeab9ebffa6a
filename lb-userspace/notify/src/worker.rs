//! Delivery to one recipient, in order.

use std::{sync::Arc, time::Duration};

use lb_model::{Notify, Recipient};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    blocking::Blocking,
    program,
    queue::{Queue, Queued},
    server::Server,
    told::Told,
};

/// Pause before the second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Worker {
    to: Notify,
    settings: watch::Receiver<Notify>,
    user: Arc<str>,
    /// Number of notifications given up since the last one that was delivered.
    given_up: u64,
    /// True from the first attempt that fails to the next one that succeeds.
    is_failing: bool,
    blocking: Blocking,
}

impl Worker {
    pub(super) fn new(settings: watch::Receiver<Notify>, user: Arc<str>) -> Self {
        let to = settings.borrow().clone();
        Self { to, settings, user, given_up: 0, is_failing: false, blocking: Blocking::new() }
    }

    /// Delivers until the queue is closed and empty.
    pub(super) async fn work(mut self, queue: Arc<Queue>) {
        while let Some(Queued { told, left_out, counted }) = queue.next().await {
            self.to.clone_from(&self.settings.borrow());
            let lost = self.given_up + left_out;
            let is_delivered = self.deliver(&told, lost).await;
            counted.end(is_delivered);
            self.given_up = if is_delivered { 0 } else { lost + 1 };
        }
    }

    /// Returns false if all attempts have failed.
    async fn deliver(&mut self, told: &Told, lost: u64) -> bool {
        let mut pause = FIRST_PAUSE;
        for attempt in 0..=self.to.retries {
            if attempt > 0 {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            match self.attempt(told, lost).await {
                Ok(()) => {
                    self.note_success(lost);
                    return true;
                }
                Err(reason) => self.note_failure(&reason),
            }
        }
        false
    }

    async fn attempt(&self, told: &Told, lost: u64) -> Result<(), String> {
        let limit = self.to.timeout;
        match &self.to.recipient {
            Recipient::Program(program) => {
                program::run(program, told, lost, &self.user, limit, &self.blocking).await
            }
            Recipient::Url(url) => {
                let server = Server::parse(url)?;
                let posted = timeout(limit, server.post(told.json(lost), &self.blocking)).await;
                posted.unwrap_or_else(|_| Err(format!("no answer after {limit:?}")))
            }
        }
    }

    fn note_success(&mut self, lost: u64) {
        if std::mem::take(&mut self.is_failing) {
            let recipient = &self.to.recipient;
            log::info!(recipient:%, lost; "notifications are delivered again");
        }
    }

    /// Logs the first failure only.
    fn note_failure(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let recipient = &self.to.recipient;
            log::warn!(recipient:%, reason; "notifications cannot be delivered");
        }
    }
}
