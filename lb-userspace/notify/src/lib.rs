//! Changes of state, told to the log, to programs and to servers.

mod blocking;
mod page;
mod program;
mod queue;
mod server;
mod tally;
mod target;
mod told;
mod transition;
mod worker;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use lb_model::Notify;
use tokio::time::timeout;

pub use self::{
    page::page,
    program::{ProgramFault, verify as verify_program},
    tally::Tally,
    transition::{EVENT, Transition},
};
use self::{server::Server, tally::Counts, target::Target, told::Told};

/// Time for what still waits when the daemon stops.
const GRACE: Duration = Duration::from_secs(2);

/// Verifies a URL.
pub fn verify_url(url: &str) -> Result<(), &'static str> {
    Server::parse(url).map(drop)
}

/// Notifies recipients of changes of state. Nothing here waits for them.
#[derive(Debug)]
pub struct Notifier {
    /// User that programs run as.
    user: Arc<str>,
    targets: Vec<Target>,
    counts: Arc<Counts>,
}

impl Notifier {
    #[must_use]
    pub fn new(user: &str) -> Self {
        Self { user: user.into(), targets: Vec::new(), counts: Arc::default() }
    }

    /// Replaces the recipients. Those that stay, maybe with other settings, keep what waits for them; what waits
    /// for others is dropped.
    /// Must be called within a tokio runtime.
    pub fn set(&mut self, recipients: &[Notify]) {
        let mut former = std::mem::take(&mut self.targets);
        for notify in recipients {
            let same = former.iter().position(|target| target.notify == *notify);
            let edited = || {
                former.iter().position(|target| {
                    let is_free = !recipients.contains(&target.notify);
                    is_free && target.notify.recipient == notify.recipient
                })
            };
            let target = match same.or_else(edited) {
                Some(kept) => former.swap_remove(kept).with(notify),
                None => Target::start(notify.clone(), &self.user),
            };
            self.targets.push(target);
        }
    }

    /// Logs a change, and notifies those who want to know.
    pub fn tell(&mut self, transition: &Transition) {
        transition.log();
        if transition.is_expected() {
            return;
        }
        let (event, service) = (transition.event, transition.service());
        let mut wanting =
            self.targets.iter_mut().filter(|one| one.notify.wants(event, service)).peekable();
        if wanting.peek().is_none() {
            return;
        }
        let told = Arc::new(Told::now(transition));
        wanting.for_each(|target| target.tell(&told, &self.counts));
    }

    #[must_use]
    pub fn tally(&self) -> Tally {
        self.counts.tally()
    }

    /// Delivers what waits, as far as that takes two seconds at most.
    pub async fn close(mut self) {
        let closing = join_all(self.targets.iter_mut().map(Target::close));
        timeout(GRACE, closing).await.ok();
        self.targets.iter().for_each(Target::log_lost);
    }
}

#[cfg(test)]
mod tests;
