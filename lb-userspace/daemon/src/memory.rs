//! Persistent state of backends for the next daemon.

use std::{
    collections::HashMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use lb_model::Health;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    clock::{self, Moment, Span},
    remembered::{Memories, Remembered},
    service::{Backend, Deadline, Service},
    state::State,
    worker::Worker,
};
use lb_host::private;

const NAME: &str = "backends.json";
const NEW: &str = "backends.json.new";

/// Maximum delay of a write.
const PAUSE: Duration = Duration::from_millis(500);

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    /// Time of writing.
    moment: Moment,
    /// Version of the document at that time.
    #[serde(default)]
    version: u64,
    services: HashMap<String, HashMap<SocketAddr, Record>>,
}

/// A backend in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    health: Health,
    detail: String,
    since: Timestamp,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    /// Elapsed time of its slow start.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    warming: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drain: Option<Drain>,
    /// Like `warming`, in files of older versions.
    #[serde(default, skip_serializing)]
    warming_since: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Drain {
    until: Timestamp,
    #[serde(with = "humantime_serde")]
    left: Duration,
}

/// Writer of the file.
pub(super) struct Memory {
    directory: PathBuf,
    /// Time of the next write, if one is needed.
    due: Option<Instant>,
    /// Number of writes started.
    begun: u64,
    /// Number of the latest completed write.
    written: Arc<Mutex<u64>>,
    worker: Worker<Writing>,
}

/// A write to run on another thread.
type Writing = Box<dyn FnOnce() + Send>;

impl Memory {
    pub(super) fn start(directory: &Path) -> io::Result<Self> {
        let worker = Worker::start("memory", 1, |write: Writing| write())?;
        let (directory, written) = (directory.to_owned(), Arc::default());
        Ok(Self { directory, due: None, begun: 0, written, worker })
    }

    /// Returns the state written by the last daemon, and the version of its document. Unreadable
    /// parts are ignored.
    pub(super) fn recall(&self) -> (Memories, u64) {
        let path = self.directory.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
            Err(error) => {
                log::warn!("ignoring {}, which cannot be read: {error}", path.display());
                return Default::default();
            }
        };
        parse(&text, &Moment::now()).unwrap_or_else(|error| {
            log::warn!("ignoring {}, which cannot be parsed: {error}", path.display());
            Default::default()
        })
    }

    /// Schedules a write.
    pub(super) fn note(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + PAUSE);
    }

    /// Waits until a write is due.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Writes the current state on another thread.
    pub(super) fn write(&mut self, state: &State, version: u64) {
        let writing = self.begin(state, version);
        if self.worker.give(Box::new(writing)).is_err() {
            // The disk is slow: a later state is written instead.
            self.note();
        }
    }

    /// Writes the final state.
    pub(super) fn close(&mut self, state: &State, version: u64) {
        self.begin(state, version)();
    }

    /// Captures the current state and returns a function that writes it, one at a time, unless a
    /// newer state has been written by then.
    fn begin(&mut self, state: &State, version: u64) -> impl FnOnce() + Send + use<> {
        self.due = None;
        self.begun += 1;
        let (nth, written) = (self.begun, Arc::clone(&self.written));
        let (state, directory) = (state.clone(), self.directory.clone());
        move || {
            let mut latest = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *latest > nth {
                return;
            }
            match write(&state, version, &directory) {
                Ok(()) => *latest = nth,
                Err(error) => log::warn!("{error:#}"),
            }
        }
    }
}

/// Parses a file, with times relative to now.
fn parse(text: &[u8], now: &Moment) -> serde_json::Result<(Memories, u64)> {
    let written = serde_json::from_slice::<Written>(text).or_else(|error| {
        let services = serde_json::from_slice(text).map_err(|_| error)?;
        serde_json::Result::Ok(Written { moment: now.clone(), version: 0, services })
    })?;
    let gone = now.since(&written.moment);
    let recall = |record: Record| {
        let wall = Timestamp::now();
        let since_wall = |since| clock::until(wall, since);
        let warmed = record.warming.map(|warmed| warmed.saturating_add(gone));
        Remembered {
            health: record.health,
            detail: record.detail,
            since: record.since.min(wall),
            held: record.held,
            warming: warmed.or(record.warming_since.map(since_wall)).map(Span::resume),
            drain: record.drain.map(|drain| (drain.until, drain.left.saturating_sub(gone))),
        }
    };
    let backends = |all: HashMap<_, Record>| {
        all.into_iter().map(|(address, record)| (address, recall(record))).collect()
    };
    let services = written.services.into_iter().map(|(vip, all)| (vip, backends(all)));
    Ok((services.collect(), written.version))
}

fn write(state: &State, version: u64, directory: &Path) -> Result<()> {
    let now = std::time::Instant::now();
    let record = |backend: &Backend| {
        let drain = backend.drain.map(|Deadline { until, ends }| Drain {
            until,
            left: ends.saturating_duration_since(now),
        });
        Record {
            health: backend.health,
            detail: backend.detail.clone(),
            since: backend.since,
            held: backend.held,
            warming: backend.warming.map(|span| span.age(now)),
            drain,
            warming_since: None,
        }
    };
    let backends = |service: &Service| {
        service.backends.iter().map(|one| (one.spec.address, record(one))).collect()
    };
    let services =
        state.services().map(|service| (service.spec.vip.to_string(), backends(service)));
    let written = Written { moment: Moment::now(), version, services: services.collect() };
    let new = directory.join(NEW);
    let cannot = || format!("cannot write {}", new.display());
    private::write(&new, &serde_json::to_vec(&written)?).with_context(cannot)?;
    fs::rename(&new, directory.join(NAME)).with_context(cannot)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{super::state, *};

    #[test]
    fn older_states_never_replace_newer_ones() {
        let directory = TempDir::new().expect("a directory");
        let mut memory = Memory::start(directory.path()).expect("a thread");
        let older = memory.begin(&state::tests::state_of(&[1]), 1);
        let newer = memory.begin(&state::tests::state_of(&[1, 2]), 2);
        newer();
        older();
        assert_eq!((memory.recall().0.len(), memory.recall().1), (2, 2));
        memory.close(&state::tests::state_of(&[]), 3);
        assert_eq!(memory.recall(), (Memories::new(), 3));
    }

    #[test]
    fn files_of_older_versions_are_read() {
        let text = br#"{"web": {"10.0.0.1:80": {"health": "up", "detail": "", "held": true,
            "since": "2999-01-01T00:00:00Z", "warming_since": "2999-01-01T00:00:00Z"}}}"#;
        let (memories, _) = parse(text, &Moment::now()).expect("understood");
        let known = &memories["web"][&"10.0.0.1:80".parse().expect("an address")];
        assert!(known.since <= Timestamp::now(), "a moment to come is none");
        let age = known.warming.expect("warming").age(std::time::Instant::now());
        assert!(age < Duration::from_mins(1), "{age:?}");
        assert_eq!((known.health, known.held), (Health::Up, true));
    }

    #[test]
    fn a_jump_of_the_wall_clock_neither_ends_a_drain_nor_holds_a_backend_back() {
        let day = Duration::from_hours(24);
        let mut state = state::tests::state_of(&[1]);
        let address = ([10, 0, 0, 1], 80).into();
        let until = Timestamp::now() + Duration::from_hours(1);
        state.change_backend("s1", address, |backend| {
            let spec = lb_model::Backend { drain_until: Some(until), ..backend.spec.clone() };
            *backend = backend.clone().with_spec(spec);
            backend.warming = Some(Span::resume(Duration::from_secs(7)));
        });
        let directory = TempDir::new().expect("a directory");
        write(&state, 1, directory.path()).expect("written");
        let text = fs::read_to_string(directory.path().join(NAME)).expect("written");
        let written: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let at: Timestamp = written["moment"]["at"].as_str().expect("one").parse().expect("one");
        for jumped in [at, at + day, at - day] {
            let mut other = written.clone();
            // Simulates a wall clock that was set since the file was written.
            other["moment"]["at"] = jumped.to_string().into();
            let (memories, _) = parse(other.to_string().as_bytes(), &Moment::now()).expect("JSON");
            let known = &memories["203.0.113.1:80"][&address];
            let age = known.warming.expect("warming").age(std::time::Instant::now());
            assert!((7..60).contains(&age.as_secs()), "{jumped}: {age:?}");
            let (ends, left) = known.drain.expect("draining");
            assert_eq!(ends, until);
            assert!((3_500..=3_600).contains(&left.as_secs()), "{jumped}: {left:?}");
        }
    }
}
