//! Watch requests of the daemon, passed on without either side waiting for the other.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchRequest {
    /// Report the current resolution of an address, and its changes.
    Watch,
    Forget,
}

/// Last request for each address, until the follower takes it.
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

    /// Ignores poisoning: requests are complete even after a panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, WatchRequest>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
