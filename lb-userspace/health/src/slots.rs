//! Limits of concurrent probes.

use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Number of a process's open files that probes leave to others.
const RESERVE: u64 = 1_024;

/// Default limit of open files of Linux.
const USUAL: u64 = 1_024;

/// Maximum of concurrent programs.
const PROGRAMS: usize = 256;

/// Maximum of checks whose files are read concurrently. Each takes a thread, which an unresponsive
/// disk blocks.
pub(super) const READERS: usize = 32;

/// A probe waits for a slot, and its timeout starts when it has one: a daemon that is short of
/// files must not report backends as down.
#[derive(Debug)]
pub(super) struct Slots {
    connections: Semaphore,
    programs: Semaphore,
    readers: Arc<Semaphore>,
}

impl Slots {
    /// Creates slots for the process's limit of open files, after raising it.
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

    /// Waits for a slot. Returns None only if the semaphore is closed, which never happens.
    pub(super) async fn connection(&self) -> Option<SemaphorePermit<'_>> {
        self.connections.acquire().await.ok()
    }

    pub(super) async fn program(&self) -> Option<SemaphorePermit<'_>> {
        self.programs.acquire().await.ok()
    }

    /// Waits for a slot that a thread can own.
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
