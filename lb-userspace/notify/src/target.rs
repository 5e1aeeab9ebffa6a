//! A recipient with its queue.

use std::sync::Arc;

use lb_model::Notify;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    tally::{Counted, Counts},
    told::Told,
    worker::{Queued, Worker},
};

/// Maximum number of notifications that wait for a recipient.
pub(super) const MOST_QUEUED: usize = 100;

#[derive(Debug)]
pub(super) struct Target {
    pub(super) notify: Notify,
    queue: mpsc::Sender<Queued>,
    /// Number of notifications that found no room since the last one that did.
    left_out: u64,
    /// True from when one found no room until the queue is empty again.
    is_crowded: bool,
    task: JoinHandle<()>,
}

impl Target {
    pub(super) fn start(notify: Notify, user: &Arc<str>) -> Self {
        let (queue, queued) = mpsc::channel(MOST_QUEUED);
        let worker = Worker::new(notify.clone(), Arc::clone(user));
        Self {
            notify,
            queue,
            left_out: 0,
            is_crowded: false,
            task: tokio::spawn(worker.work(queued)),
        }
    }

    /// Queues a notification. What finds no room is counted, and logged once.
    pub(super) fn tell(&mut self, told: &Arc<Told>, counts: &Arc<Counts>) {
        self.is_crowded &= self.queue.capacity() < MOST_QUEUED;
        let (left_out, counted) = (self.left_out, Counted::queued(counts));
        let queued = Queued { told: Arc::clone(told), left_out, counted };
        if self.queue.try_send(queued).is_ok() {
            self.left_out = 0;
            return;
        }
        self.left_out += 1;
        if !std::mem::replace(&mut self.is_crowded, true) {
            let recipient = &self.notify.recipient;
            log::warn!(
                recipient:%;
                "notifications are left out: {MOST_QUEUED} wait for the recipient already"
            );
        }
    }

    /// Delivers what waits, and ends.
    pub(super) async fn close(mut self) {
        // The task ends once its queue has no sender left.
        (self.queue, _) = mpsc::channel(1);
        (&mut self.task).await.ok();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}
