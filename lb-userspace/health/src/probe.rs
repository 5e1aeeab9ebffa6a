//! A check, prepared for repeated execution.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lb_model::{HealthCheck, Probe};
use tokio::{sync::Mutex as Turn, task::spawn_blocking, time};

use super::{
    fault::Fault,
    files::{self, Stamp},
    kind::Kind,
    outcome::Outcome,
    slots::Slots,
};

/// A check that can be executed.
#[derive(Debug)]
pub struct Prober {
    check: HealthCheck,
    /// User that programs run as.
    user: Arc<str>,
    /// Created on first use, and again when its files have changed.
    readiness: Mutex<Readiness>,
    /// Serializes reading the files.
    turn: Arc<Turn<()>>,
}

/// Interval of checks for changed files.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// A prepared check, and the stamps of its files.
#[derive(Debug)]
struct Ready {
    kind: Arc<Kind>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

/// State of a check's preparation.
#[derive(Debug, Default)]
struct Readiness {
    ready: Option<Ready>,
    /// Last error of its files, already logged.
    fault: Option<Fault>,
}

impl Prober {
    /// Creates a prober whose programs run as this user.
    #[must_use]
    pub fn new(check: HealthCheck, user: Arc<str>) -> Self {
        Self { check, user, readiness: Mutex::default(), turn: Arc::default() }
    }

    /// Validates a check, without reading its files.
    pub fn verify(check: &HealthCheck) -> Result<(), Fault> {
        Kind::verify(check)
    }

    /// Validates a check and its files.
    pub fn verify_files(check: &HealthCheck) -> Result<(), Fault> {
        Kind::new(check).map(drop)
    }

    /// Returns true if a check needs files or a program; these include the host's CA certificates.
    #[must_use]
    pub fn reads_files(check: &HealthCheck) -> bool {
        matches!(check.probe, Probe::Tls | Probe::Https | Probe::Exec)
    }

    #[must_use]
    pub fn check(&self) -> &HealthCheck {
        &self.check
    }

    /// Returns the address and port to probe for a backend.
    #[must_use]
    pub fn asked(&self, backend: SocketAddr) -> SocketAddr {
        let request = &self.check.request;
        let address = request.address.unwrap_or(backend.ip());
        (address, request.port.unwrap_or(backend.port())).into()
    }

    /// Runs the check once, at the address to probe.
    pub(super) async fn probe(self: &Arc<Self>, at: SocketAddr, slots: &Slots) -> Outcome {
        // The timeout is limited to the interval.
        let timeout = self.check.timeout.min(self.check.interval);
        let kind = match self.ready(slots, timeout).await {
            Ok(kind) => kind,
            // Users who may see the state of checks may not learn which files exist.
            Err(Fault { key, .. }) => {
                return Outcome::unknown(format!(
                    "UNK cannot be checked: `{key}` cannot be used; the daemon's log says why"
                ));
            }
        };
        match &*kind {
            Kind::None => Outcome::passed("not checked".to_owned()),
            Kind::Exec(exec) => {
                let _slot = slots.program().await;
                Box::pin(exec.run(at, timeout, &self.user)).await
            }
            kind => {
                let _slot = slots.connection().await;
                let close = self.check.request.close.unwrap_or_default();
                kind.ask_in_time(at, close, timeout).await
            }
        }
    }

    /// Returns the prepared check. A blocking thread reads its files; if that takes longer than a
    /// check may take, the former ones are used.
    async fn ready(
        self: &Arc<Self>,
        slots: &Slots,
        patience: Duration,
    ) -> Result<Arc<Kind>, Fault> {
        if let Some(ready) = self.fresh() {
            return Ok(ready);
        }
        if !Self::reads_files(&self.check) {
            return self.read();
        }
        let read = time::timeout(patience, self.read_beside(slots)).await;
        read.unwrap_or_else(|_| {
            let message = format!("its files could not be read within {patience:?}");
            self.former(Fault::new(files::first_key(&self.check.request), &message))
        })
    }

    /// Runs [`Self::read`] on a blocking thread, one at a time.
    async fn read_beside(self: &Arc<Self>, slots: &Slots) -> Result<Arc<Kind>, Fault> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(ready) = self.fresh() {
            return Ok(ready);
        }
        let (prober, slot) = (Arc::clone(self), slots.reader().await);
        let reading = spawn_blocking(move || {
            // Held while the thread is busy, even if nobody waits for it any more.
            let _held = (turn, slot);
            prober.read()
        });
        reading.await.unwrap_or_else(|error| {
            self.former(Fault::new(files::first_key(&self.check.request), &error))
        })
    }

    /// Returns the prepared check if its files need not be read again yet.
    fn fresh(&self) -> Option<Arc<Kind>> {
        let readiness = self.readiness();
        let ready = readiness.ready.as_ref()?;
        let is_fresh = ready.stamps.is_empty() || ready.looked.elapsed() < LOOK;
        is_fresh.then(|| Arc::clone(&ready.kind))
    }

    /// Prepares the check from the current files. New files that cannot be used are ignored: they
    /// may be partly replaced.
    fn read(&self) -> Result<Arc<Kind>, Fault> {
        let (stamps, looked) = (files::stamps(&self.check.request), Instant::now());
        if let Some(ready) = self.readiness().ready.as_mut().filter(|one| one.stamps == stamps) {
            ready.looked = looked;
            return Ok(Arc::clone(&ready.kind));
        }
        match Kind::new(&self.check) {
            Ok(kind) => {
                let kind = Arc::new(kind);
                let ready = Some(Ready { kind: Arc::clone(&kind), stamps, looked });
                *self.readiness() = Readiness { ready, fault: None };
                Ok(kind)
            }
            Err(fault) => self.former(fault),
        }
    }

    /// Logs an error of the files once. Continues with the former ones, if any.
    fn former(&self, fault: Fault) -> Result<Arc<Kind>, Fault> {
        let mut readiness = self.readiness();
        if readiness.fault.as_ref() != Some(&fault) {
            let Fault { key, message, fix, .. } = &fault;
            let fix = if fix.is_empty() { String::new() } else { format!(": {fix}") };
            log::warn!("a check's `{key}` cannot be used: {message}{fix}");
            readiness.fault = Some(fault.clone());
        }
        let former = readiness.ready.as_mut().ok_or(fault)?;
        former.looked = Instant::now();
        Ok(Arc::clone(&former.kind))
    }

    /// Locks the readiness. Never held while files are read.
    fn readiness(&self) -> MutexGuard<'_, Readiness> {
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
