//! Searches of the flow table that are running, for clients that show how far theirs has come.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::Json;
use lb_dataplane::listing::{Listing, Swept};
use lb_model::connections::SearchView;

use super::peer::Peer;

static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

/// A search, until its listing is dropped.
struct Running {
    pid: Option<i32>,
    entries: u64,
    swept: Weak<Swept>,
}

/// Makes the search of a client's listing known.
pub(super) fn note(listing: &Listing, of: &Peer) {
    let swept = Arc::downgrade(listing.swept());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|one| one.swept.strong_count() > 0);
    running.push(Running { pid: of.pid(), entries: listing.entries(), swept });
}

pub(super) async fn list() -> Json<Vec<SearchView>> {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let views = running.iter().filter_map(|one| {
        let swept = one.swept.upgrade()?.count();
        Some(SearchView { pid: one.pid, swept, entries: one.entries })
    });
    Json(views.collect())
}
