//! Work that may hang, such as on a dead file system.

use std::{fmt::Display, thread, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use super::Seen;

/// Time for each piece of work.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Carries work out in a thread of its own, which is left behind if it hangs.
pub(super) async fn bounded<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Seen<T> {
    let (send, receive) = oneshot::channel();
    // Nobody receives what comes too late.
    thread::spawn(move || drop(send.send(work())));
    in_time(receive).await?.map_err(|_| "it failed: this is a bug".to_owned())
}

/// Waits for an answer.
pub(super) async fn in_time<T>(answer: impl Future<Output = T>) -> Seen<T> {
    let answer = timeout(PATIENCE, answer).await;
    answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))
}

/// Joins the time limit and an error of the work.
pub(super) fn known<T, E: Display>(found: Seen<Result<T, E>>) -> Seen<T> {
    found.and_then(|found| found.map_err(|error| format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_is_left_behind() {
        let (keep, wait) = std::sync::mpsc::channel::<()>();
        let hanging = bounded(move || wait.recv()).await;
        assert_eq!(hanging, Err("no answer within 2 s".to_owned()));
        drop(keep);
        assert_eq!(bounded(|| 7).await, Ok(7));
    }
}
