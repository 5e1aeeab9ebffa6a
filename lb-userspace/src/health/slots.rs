//! How many probes may be under way at once.

use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Of the files that a process may have open, those that probes leave to everybody else.
const RESERVE: u64 = 1_024;

/// What Linux lets a process open that has not asked for more.
const USUAL: u64 = 1_024;

/// Programs at once.
const PROGRAMS: usize = 256;

/// Checks whose files are read at once. Each takes a thread, which a disk that does not answer keeps.
pub(super) const READERS: usize = 32;

/// A probe without a slot waits for one, and its time-out begins when it has it: a daemon that is
/// short of files says nothing of backends.
#[derive(Debug)]
pub(super) struct Slots {
    connections: Semaphore,
    programs: Semaphore,
    readers: Arc<Semaphore>,
}

impl Slots {
    /// As many as the process may open files, once it has raised its own limit.
    pub(super) fn new() -> Self {
        let files = raised().unwrap_or_else(|error| {
            log::warn!("the limit of open files could not be raised: {error}");
            USUAL
        });
        let most = usize::try_from(files.saturating_sub(RESERVE).max(files / 2));
        let most = most.unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            connections: Semaphore::new(most),
            programs: Semaphore::new(PROGRAMS),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// None is only given when there are no slots at all any more, which nobody sees to.
    pub(super) async fn connection(&self) -> Option<SemaphorePermit<'_>> {
        self.connections.acquire().await.ok()
    }

    pub(super) async fn program(&self) -> Option<SemaphorePermit<'_>> {
        self.programs.acquire().await.ok()
    }

    /// For a thread to keep.
    pub(super) async fn reader(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.readers).acquire_owned().await.ok()
    }
}

fn raised() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}
