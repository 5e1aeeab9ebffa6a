//! What is known of backends, so that the next daemon knows it too.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{task::spawn_blocking, time::Instant};

use super::state::State;
use crate::{model::Health, private};

const NAME: &str = "backends.json";
const NEW: &str = "backends.json.new";

/// How long news may wait to be written.
const PAUSE: Duration = Duration::from_millis(500);

/// What is known of a backend, and since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    pub health: Health,
    pub detail: String,
    pub since: Timestamp,
    #[serde(default)]
    pub held: bool,
    #[serde(default)]
    pub warming_since: Option<Timestamp>,
}

/// By service and address.
pub type Memories = HashMap<String, HashMap<SocketAddr, Remembered>>;

/// Where it is written.
#[derive(Debug)]
pub(super) struct Memory {
    directory: PathBuf,
    /// When there is something to write.
    due: Option<Instant>,
    /// How often that was begun.
    begun: u64,
    /// Which of these is the latest that was written.
    written: Arc<Mutex<u64>>,
}

impl Remembered {
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            health: Health::Unknown,
            detail: "not checked yet".to_owned(),
            since: Timestamp::now(),
            held: false,
            warming_since: None,
        }
    }

    /// Of one that takes connections: up, whatever else is known.
    #[must_use]
    pub fn in_use(known: Option<Self>) -> Self {
        let detail = "in use before the daemon started".to_owned();
        known.filter(|known| known.health == Health::Up).unwrap_or_else(|| Self {
            health: Health::Up,
            detail,
            ..Self::nothing()
        })
    }
}

impl Memory {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), due: None, begun: 0, written: Arc::default() }
    }

    /// What the last daemon has written. What cannot be read is not known.
    pub(super) fn recall(&self) -> Memories {
        let path = self.directory.join(NAME);
        let Ok(text) = fs::read(&path) else { return Memories::new() };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            log::warn!("{} is not understood, and not used: {error}", path.display());
            Memories::new()
        })
    }

    /// Notes that there is something new.
    pub(super) fn note(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + PAUSE);
    }

    /// Until there is something to write.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Writes what is known now, beside the loop.
    pub(super) fn write(&mut self, state: &State) {
        spawn_blocking(self.begin(state));
    }

    /// Writes what is known at the end.
    pub(super) fn close(&mut self, state: &State) {
        self.begin(state)();
    }

    /// Takes down what is known now. It is written when that is called, one at a time, unless what
    /// is newer has been written by then.
    fn begin(&mut self, state: &State) -> impl FnOnce() + Send + use<> {
        self.due = None;
        self.begun += 1;
        let (nth, written) = (self.begun, Arc::clone(&self.written));
        let (state, directory) = (state.clone(), self.directory.clone());
        move || {
            let mut latest = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *latest > nth {
                return;
            }
            match write(&state, &directory) {
                Ok(()) => *latest = nth,
                Err(error) => log::warn!("{error:#}"),
            }
        }
    }
}

fn write(state: &State, directory: &Path) -> Result<()> {
    let mut memories = Memories::new();
    for service in state.services() {
        let backends = service.backends.iter().map(|backend| {
            let remembered = Remembered {
                health: backend.health,
                detail: backend.detail.clone(),
                since: backend.since,
                held: backend.held,
                warming_since: backend.warming_since,
            };
            (backend.spec.address, remembered)
        });
        memories.insert(service.spec.name.clone(), backends.collect());
    }
    let new = directory.join(NEW);
    let cannot = || format!("cannot write {}", new.display());
    private::write(&new, &serde_json::to_vec(&memories)?).with_context(cannot)?;
    fs::rename(&new, directory.join(NAME)).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{super::state, *};

    #[test]
    fn what_is_older_never_takes_the_place_of_what_is_newer() {
        let directory = TempDir::new().expect("a directory");
        let mut memory = Memory::new(directory.path());
        let older = memory.begin(&state::tests::state_of(&[1]));
        let newer = memory.begin(&state::tests::state_of(&[1, 2]));
        newer();
        older();
        assert_eq!(memory.recall().len(), 2);
        memory.close(&state::tests::state_of(&[]));
        assert!(memory.recall().is_empty());
    }
}
