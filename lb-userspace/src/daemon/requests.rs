//! Requests of the API.

use std::net::SocketAddr;

use super::{
    Daemon, network,
    reader::{File, Order, Rollback},
    service::Backend,
    vips,
};
use crate::{
    config::{Allowed, Refused},
    connections::Listing,
    control::{Caller, Change, Plan, Refusal, Reply, Request, ServiceView, VersionView},
    desired::{Author, Document, Step, edited, named, steps},
    listeners::Listeners,
    model::Admin,
    secrets,
};

impl Daemon {
    pub(super) fn answer(&mut self, request: Request) {
        // A client that has hung up meanwhile wants no answer.
        match request {
            Request::Status(reply) => drop(reply.send(Ok(self.status()))),
            Request::Services(reply) => drop(reply.send(self.service_views())),
            Request::Stats(reply) => drop(reply.send(self.stats())),
            Request::Connections(service, reply) => {
                drop(reply.send(self.connections(service.as_deref())));
            }
            Request::Change(
                change @ (Change::AddService { .. } | Change::SetService { .. }),
                by,
                reply,
            ) => self.read_edit(change, by, reply, 1),
            Request::Change(change, by, reply) => {
                // It brings no VIP.
                let listeners = Listeners::default();
                let changed = self
                    .edited(&change)
                    .and_then(|edited| self.carry_out(edited, &change, &by, &listeners));
                drop(reply.send(changed));
            }
            Request::Plan(submission, reply) => self.reader.give(Order::Plan(submission, reply)),
            Request::Apply(submission, reply) => self.reader.give(Order::Apply(submission, reply)),
            Request::History(reply) => drop(reply.send(Ok(self.history()))),
            Request::Version(number, reply) => drop(reply.send(self.version(number))),
            Request::Rollback(to, by, reply) => self.read_rollback(to, by, reply),
        }
    }

    fn connections(&self, service: Option<&str>) -> Result<Listing, Refusal> {
        if let Some(name) = service {
            named(self.document(), name)?;
        }
        Ok(self.listing())
    }

    pub(super) fn edited(&self, change: &Change) -> Result<Document, Refusal> {
        edited(self.document(), change, &self.config.defaults)
    }

    /// Carries a change out whole, or not at all. Returns the service as it is then, if it still
    /// is.
    pub(super) fn carry_out(
        &mut self,
        document: Document,
        change: &Change,
        by: &Caller,
        listeners: &Listeners,
    ) -> Result<Option<ServiceView>, Refusal> {
        self.refuse_local(&document)?;
        vips::refuse_taken(&document, self.document(), self.claim(listeners, by))?;
        self.refuse_foreign(&document, by)?;
        let author = Author { by: by.name.clone(), what: change.to_string(), file: None };
        self.adopt(document, author).map_err(failed)?;
        if let Change::SetBackend { service, address, settings } = change
            && settings.admin == Some(Admin::Enabled)
        {
            let mut state = self.state.clone();
            state.change_backend(service, *address, Backend::let_back);
            self.follow(state);
            self.memory.note();
        }
        let service = self.state.service(change.service());
        service.map(|service| self.service_view(service)).transpose()
    }

    /// Backends that a document brings, and that are the balancer itself.
    fn refuse_local(&self, document: &Document) -> Result<(), Refusal> {
        let before = self.document();
        let own = network::own(&self.addresses);
        for service in &document.since(before).set {
            let known = |address: SocketAddr| {
                before.service(&service.name).is_some_and(|known| known.backend(address).is_some())
            };
            for backend in service.backends.iter().filter(|one| !known(one.address)) {
                let address = backend.address;
                if own.contains(&address.ip()) {
                    return Err(Refusal::Invalid(format!(
                        "{address} is an address of the balancer itself: XDP only reaches servers \
                         on other hosts"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Programs and files that a document brings, and that its author may not name.
    fn refuse_foreign(&self, document: &Document, by: &Caller) -> Result<(), Refusal> {
        if by.is_root {
            return Ok(());
        }
        let before = self.document();
        let allowed = Allowed::by(&self.config, before);
        for service in &document.since(before).set {
            if let Some(Refused { key, message }) = allowed.refused(&service.policy.health) {
                let name = &service.name;
                return Err(Refusal::Invalid(format!("{name}: `health.{key}`: {message}")));
            }
        }
        Ok(())
    }

    /// What a file would change.
    pub(super) async fn plan(
        &mut self,
        file: Result<File, Refusal>,
        by: &Caller,
    ) -> Result<Plan, Refusal> {
        self.is_untidy = true;
        let File { loaded, listeners, .. } = file?;
        self.trust(&loaded, by).map_err(invalid)?;
        let mut all = self.config.steps_to(&loaded.config);
        all.extend(steps(self.document(), &self.read_from(&loaded)));
        let fit = self.fit(&loaded, &listeners, by).await;
        let refused = fit.and_then(|_| self.config.refuse_restart_only(&loaded.config)).err();
        Ok(Plan {
            version: self.desired.number(),
            steps: all,
            refused: refused.map(|error| format!("{error:#}")),
        })
    }

    pub(super) async fn apply(
        &mut self,
        file: Result<File, Refusal>,
        by: &Caller,
    ) -> Result<Plan, Refusal> {
        self.is_untidy = true;
        let file = file?;
        let mut all = self.config.steps_to(&file.loaded.config);
        all.extend(self.take_on(file, by).await.map_err(invalid)?);
        Ok(self.done(all))
    }

    fn history(&self) -> Vec<VersionView> {
        let views = self.desired.versions().rev().map(|version| VersionView {
            version: version.number,
            at: version.at,
            by: version.author.by.clone(),
            what: secrets::shown_history(&version.author.what),
        });
        views.collect()
    }

    /// What a version has changed.
    fn version(&self, number: u64) -> Result<Plan, Refusal> {
        self.desired.version(number).ok_or_else(|| no_version(number))?;
        let forgotten = || {
            Refusal::NotFound(format!(
                "what version {number} changed is not known any more: it is the oldest that is kept"
            ))
        };
        let steps = self.desired.steps_of(number).ok_or_else(forgotten)?;
        Ok(Plan { version: number, steps, refused: None })
    }

    /// Has the ports of this host read that a former version is about: of the last one, if none is
    /// named.
    fn read_rollback(&self, to: Option<u64>, by: Caller, reply: Reply<Plan>) {
        let former = match to {
            Some(number) => self.desired.version(number).ok_or_else(|| no_version(number)),
            None => self.desired.former().ok_or_else(|| {
                Refusal::Conflict("there is no version before the present one".to_owned())
            }),
        };
        match former {
            Err(refusal) => drop(reply.send(Err(refusal))),
            Ok(former) => {
                let (number, document) = (former.number, former.document.clone());
                let rollback = Rollback { number, document, by, reply };
                self.reader.give(Order::Rollback(rollback));
            }
        }
    }

    /// Makes the services those of a former version.
    pub(super) fn rollback(
        &mut self,
        number: u64,
        by: &Caller,
        listeners: &Listeners,
    ) -> Result<Plan, Refusal> {
        let former = self.desired.version(number).ok_or_else(|| no_version(number))?;
        let what = format!("rolled back to version {}", former.number);
        let author = Author { by: by.name.clone(), what, file: None };
        let document = former.document.clone();
        vips::refuse_taken(&document, self.document(), self.claim(listeners, by))?;
        self.refuse_foreign(&document, by)?;
        self.is_untidy = true;
        let steps = self.adopt(document, author).map_err(failed)?;
        Ok(self.done(steps))
    }

    fn done(&self, steps: Vec<Step>) -> Plan {
        Plan { version: self.desired.number(), steps, refused: None }
    }
}

fn no_version(number: u64) -> Refusal {
    Refusal::NotFound(format!("there is no version {number}: see `xdplb history`"))
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn failed(error: anyhow::Error) -> Refusal {
    Refusal::Failed(format!("{error:#}"))
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
pub(super) fn invalid(error: anyhow::Error) -> Refusal {
    Refusal::Invalid(format!("{error:#}"))
}
