//! Waiting for answers of the daemon that take a while.

use std::{convert::Infallible, pin::pin, process, time::Duration};

use lb_client::Client;
use lb_model::connections::SearchView;
use lb_progress::Progress;
use tokio::{
    select,
    time::{sleep, timeout},
};

use super::args::Output;

/// Answers that come sooner are not announced.
const MOMENT: Duration = Duration::from_secs(1);

const POLL: Duration = Duration::from_millis(500);

/// Waits for an answer, and tells after a moment what the daemon is doing.
pub(super) async fn announced<T>(output: Output, what: &str, answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    if let Ok(answered) = timeout(MOMENT, &mut answer).await {
        return answered;
    }
    let progress = output.progress();
    progress.tell(what);
    answer.await
}

/// Waits for the result of a search of all connections, and tells after a moment how far it has come.
pub(super) async fn searching<T>(
    client: &Client,
    output: Output,
    result: impl Future<Output = T>,
) -> T {
    let mut result = pin!(result);
    if let Ok(found) = timeout(MOMENT, &mut result).await {
        return found;
    }
    let progress = output.progress();
    select! {
        found = result => found,
        never = tell_searches(client, &progress) => match never {},
    }
}

async fn tell_searches(client: &Client, progress: &Progress) -> Infallible {
    loop {
        tell_search(client, progress).await;
        sleep(POLL).await;
    }
}

/// Tells nothing if the daemon does not, as one of another version.
async fn tell_search(client: &Client, progress: &Progress) {
    let Ok(running) = client.searches().await else { return };
    let own = running.iter().find(|one| one.pid == process::id().try_into().ok());
    if let Some(SearchView { swept, entries, .. }) = own {
        let told = format!("scanned {swept} of {entries} flow table entries");
        progress.tell_part(&told, *swept, *entries);
    }
}
