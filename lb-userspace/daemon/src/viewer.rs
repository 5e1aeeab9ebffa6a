//! Answers questions about the state on a thread of its own: the loop is never asked, however many
//! clients look.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use lb_config::desired::named;
use lb_dataplane::{CounterReader, Variants, listing::Listing};
use lb_model::{Refusal, views::Readiness};
use tokio::sync::mpsc;

use super::{
    control::{Owner, Question, Reply},
    explain::Explainer,
    snapshot::{Snapshot, Snapshots},
    trace,
    views::Views,
};

/// Time that the kernel's maps may keep changing while views are made: counters may have passed from one
/// backend id to another meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time for the loop to publish the state of maps that have changed.
const PAUSE: Duration = Duration::from_millis(1);

/// What the thread reads.
pub(super) struct Viewer {
    pub(super) snapshots: Snapshots,
    pub(super) counters: Arc<CounterReader>,
    pub(super) variants: Variants,
    pub(super) explainer: Explainer,
}

impl Viewer {
    /// Starts the thread, which ends with the last handle of the API.
    pub(super) fn start(self, mut questions: mpsc::Receiver<Question>) -> io::Result<()> {
        let answer = move || {
            while let Some(question) = questions.blocking_recv() {
                self.answer(question);
            }
        };
        thread::Builder::new().name("viewer".to_owned()).spawn(answer).map(drop)
    }

    fn answer(&self, question: Question) {
        match question {
            Question::Status(reply) => self.tell(reply, |views| Ok(views.status())),
            Question::Groups(reply) => self.tell(reply, |views| Ok(views.snapshot.groups.views())),
            Question::Services(reply) => {
                self.tell(reply, |views| Ok(views.versioned(views.services()?)));
            }
            Question::Service(name, reply) => {
                self.tell(reply, |views| Ok(views.versioned(views.service(&name)?)));
            }
            Question::Running(reply) => self.tell(reply, |views| Ok(views.running())),
            Question::Stats(reply) => self.tell(reply, |views| views.stats()),
            Question::Connections(owner, reply) => {
                self.tell(reply, |views| connections(&views, &owner));
            }
            Question::Explainer(reply) => self.tell(reply, |_| Ok(self.explainer.clone())),
            Question::Explain(query, links, by, reply) => {
                self.tell(reply, |views| by.explain(&views, &query, &links));
            }
            Question::PlanTrace(filter, reply) => self.tell(reply, |views| {
                trace::plan(&views, self.variants.clone(), &filter, self.snapshots.clone())
            }),
            Question::Overview(reply) => self.tell(reply, |views| views.overview()),
            Question::Readiness(needed, reply) => self.tell(reply, |views| {
                let reasons = views.snapshot.unready(needed);
                Ok(Readiness { ready: reasons.is_empty(), reasons })
            }),
        }
    }

    fn tell<T>(&self, reply: Reply<T>, view: impl Fn(Views<'_>) -> Result<T, Refusal>) {
        if reply.is_closed() {
            return;
        }
        // The client may have disconnected.
        drop(reply.send(self.view(view)));
    }

    /// Makes a view of a snapshot and of counters that belong together.
    fn view<T>(&self, view: impl Fn(Views<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let snapshot = self.present()?;
            let is_current = || self.counters.generation() == snapshot.generation;
            if is_current() {
                let made = view(Views { snapshot: &snapshot, counters: &self.counters });
                if is_current() {
                    return made;
                }
            }
            thread::sleep(PAUSE);
        }
        Err(Refusal::Busy("the configuration keeps changing: try again".to_owned()))
    }

    fn present(&self) -> Result<Arc<Snapshot>, Refusal> {
        let snapshot = self.snapshots.borrow().clone();
        snapshot.ok_or_else(|| Refusal::Busy("the daemon is starting".to_owned()))
    }
}

fn connections(views: &Views<'_>, owner: &Owner) -> Result<Listing, Refusal> {
    let Snapshot { state, document, .. } = views.snapshot;
    if let Some(name) = &owner.service {
        let is_left = state.kernel.retired().any(|left| left.owner.name == *name);
        if !is_left {
            named(document, name)?;
        }
    }
    if let Some(address) = owner.backend.filter(|address| !state.kernel.has_address(*address)) {
        return Err(Refusal::NotFound(format!("there is no backend {address}")));
    }
    Ok(views.listing())
}
