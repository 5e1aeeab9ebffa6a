//! A recipient with its queue.

use std::sync::Arc;

use lb_model::Notify;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    queue::{MOST_QUEUED, Queue},
    tally::{Counted, Counts},
    told::Told,
    worker::Worker,
};

#[derive(Debug)]
pub(super) struct Target {
    pub(super) notify: Notify,
    /// Tells the worker of other settings.
    settings: watch::Sender<Notify>,
    queue: Arc<Queue>,
    /// True from when one was left out until the queue is empty again.
    is_crowded: bool,
    task: JoinHandle<()>,
}

impl Target {
    pub(super) fn start(notify: Notify, user: &Arc<str>) -> Self {
        let queue = Arc::<Queue>::default();
        let (settings, followed) = watch::channel(notify.clone());
        let worker = Worker::new(followed, Arc::clone(user));
        let task = tokio::spawn(worker.work(Arc::clone(&queue)));
        Self { notify, settings, queue, is_crowded: false, task }
    }

    /// Sets other settings, from the next notification on.
    pub(super) fn with(mut self, notify: &Notify) -> Self {
        self.notify.clone_from(notify);
        self.settings.send_replace(notify.clone());
        self
    }

    /// Queues a notification. If another one is left out for it, that is counted, and logged once.
    pub(super) fn tell(&mut self, told: &Arc<Told>, counts: &Arc<Counts>) {
        self.is_crowded &= self.queue.len() > 0;
        if self.queue.push(Arc::clone(told), Counted::queued(counts)) {
            return;
        }
        if !std::mem::replace(&mut self.is_crowded, true) {
            let recipient = &self.notify.recipient;
            log::warn!(
                recipient:%;
                "notifications are left out: {MOST_QUEUED} wait for the recipient already"
            );
        }
    }

    /// Delivers what waits, and ends.
    pub(super) async fn close(&mut self) {
        self.queue.close();
        (&mut self.task).await.ok();
    }

    /// Logs how many notifications are lost with the end of the daemon.
    pub(super) fn log_lost(&self) {
        if self.task.is_finished() {
            return;
        }
        // One is being delivered.
        let (recipient, lost) = (&self.notify.recipient, self.queue.len() + 1);
        log::warn!(recipient:%, lost; "notifications were not delivered before the end");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}
