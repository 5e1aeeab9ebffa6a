//! Loading of variants of the program: the kernel takes a moment to verify one.

use anyhow::Result;
use lb_host::sys::heap;
use lb_model::Refusal;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::refusals::failed;

/// One at a time, also if whoever asked has left.
static TURNS: Semaphore = Semaphore::const_new(1);

/// Loads a variant on a thread of its own: nobody else waits for it.
pub(super) async fn load<T: Send + 'static>(
    load: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let turn = TURNS.acquire().await;
    let loading = spawn_blocking(move || {
        let _turn = turn;
        let loaded = load();
        heap::give_back();
        loaded
    });
    loading.await.map_err(anyhow::Error::from).flatten().map_err(failed)
}
