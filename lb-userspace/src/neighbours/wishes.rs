//! What the daemon wants to be told of, handed over without either side waiting for the other.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To be told of an address: how it is now, and whenever that changes.
    Watch,
    Forget,
}

/// The last wish for each address, until the follower takes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pending: Arc<Mutex<HashMap<IpAddr, Wish>>>,
    news: Arc<Notify>,
}

impl Wishes {
    pub(super) fn make(&self, wishes: impl IntoIterator<Item = (IpAddr, Wish)>) {
        self.lock().extend(wishes);
        self.news.notify_one();
    }

    /// Waits for wishes.
    pub(super) async fn taken(&self) -> HashMap<IpAddr, Wish> {
        self.news.notified().await;
        std::mem::take(&mut *self.lock())
    }

    /// A thread that has panicked has left whole wishes nevertheless.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Wish>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
