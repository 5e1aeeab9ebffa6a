//! What the daemon wants to be told of, handed over without either side waiting for the other.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchRequest {
    /// To be told of an address: how it is now, and whenever that changes.
    Watch,
    Forget,
}

/// The last request for each address, until the follower takes it.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchRequests {
    pending: Arc<Mutex<HashMap<IpAddr, WatchRequest>>>,
    news: Arc<Notify>,
}

impl WatchRequests {
    pub(super) fn make(&self, watch_requests: impl IntoIterator<Item = (IpAddr, WatchRequest)>) {
        self.lock().extend(watch_requests);
        self.news.notify_one();
    }

    /// Waits for requests.
    pub(super) async fn taken(&self) -> HashMap<IpAddr, WatchRequest> {
        self.news.notified().await;
        std::mem::take(&mut *self.lock())
    }

    /// A thread that has panicked has left whole requests nevertheless.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, WatchRequest>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
