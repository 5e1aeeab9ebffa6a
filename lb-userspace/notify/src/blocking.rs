//! Work on a disk or a resolver, which may hang.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::spawn_blocking};

/// One thread for such work of a recipient: what hangs is not tried on more of them.
#[derive(Debug)]
pub(super) struct Blocking(Arc<Semaphore>);

impl Blocking {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Does some work once the thread is free. The work goes on if nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|error| error.to_string())?;
        let working = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        working.await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_hangs_holds_one_thread() {
        let blocking = Blocking::new();
        let (end, hangs) = mpsc::channel::<()>();
        let moment = Duration::from_millis(50);
        timeout(moment, blocking.run(move || hangs.recv())).await.expect_err("it hangs");
        timeout(moment, blocking.run(|| ())).await.expect_err("it does not begin");
        end.send(()).expect("it waits");
        blocking.run(|| ()).await.expect("done");
    }
}
