//! Requests of the API.

use std::net::SocketAddr;

use super::{
    Daemon,
    events::Events,
    failover, network,
    reader::{File, Order, Rollback},
    service::{Backend, Service},
    standing::up_of,
    state::State,
    vips,
};
use crate::{
    config::{Allowed, Refused},
    connections::Listing,
    control::{
        Caller, Change, Plan, Refusal, Reply, Request, ServiceView, VersionDetail, VersionView,
        Versioned,
    },
    desired::{Author, Document, Step, Version, edited, named, steps},
    model::Admin,
    secrets,
};
use lb_host::listeners::Listeners;

/// A change that waits for the one before it.
pub(super) struct Waiting {
    change: Change,
    by: Caller,
    reply: Reply<Versioned<Option<ServiceView>>>,
}

impl Daemon {
    /// Answers a request, or has it read beside the loop; a change that needs neither is returned.
    pub(super) fn answer(&mut self, request: Request) -> Option<Waiting> {
        // A client that has hung up meanwhile wants no answer.
        match request {
            Request::Status(reply) => drop(reply.send(Ok(self.status()))),
            Request::Services(reply) => {
                drop(reply.send(self.service_views().map(|of| self.versioned(of))));
            }
            Request::Service(name, reply) => {
                drop(reply.send(self.service_named(&name).map(|of| self.versioned(of))));
            }
            Request::Running(reply) => drop(reply.send(Ok(self.running()))),
            Request::Stats(reply) => drop(reply.send(self.stats())),
            Request::Connections(service, reply) => {
                drop(reply.send(self.connections(service.as_deref())));
            }
            Request::Change(
                change @ (Change::AddService { .. } | Change::SetService { .. }),
                by,
                reply,
            ) => self.read_edit(change, by, reply, 1),
            Request::Change(change, by, reply) => return Some(Waiting { change, by, reply }),
            Request::Plan(submission, reply) => self.reader.give(Order::Plan(submission, reply)),
            Request::Apply(submission, reply) => self.reader.give(Order::Apply(submission, reply)),
            Request::History(reply) => drop(reply.send(Ok(self.history()))),
            Request::Version(number, reply) => drop(reply.send(self.version(number))),
            Request::Rollback(to, by, reply) => self.read_rollback(to, by, reply),
        }
        None
    }

    /// Carries out the change that has waited for longest.
    pub(super) async fn change(&mut self, events: &mut Events) {
        let Some(Waiting { change, by, reply }) = self.waiting.pop_front() else { return };
        // It brings no VIP.
        let listeners = Listeners::default();
        let changed = self.carry_out(self.edited(&change), &change, &by, &listeners, events).await;
        drop(reply.send(changed));
    }

    fn connections(&self, service: Option<&str>) -> Result<Listing, Refusal> {
        if let Some(name) = service {
            let is_left = self.state.kernel.retired().any(|(.., owner)| owner.name == name);
            if !is_left {
                named(self.document(), name)?;
            }
        }
        Ok(self.listing())
    }

    pub(super) fn edited(&self, change: &Change) -> Result<Document, Refusal> {
        edited(self.document(), change, &self.config.defaults)
    }

    /// Carries a change out whole, or not at all. Returns the service as it is then, if it still
    /// is.
    pub(super) async fn carry_out(
        &mut self,
        edited: Result<Document, Refusal>,
        change: &Change,
        by: &Caller,
        listeners: &Listeners,
        events: &mut Events,
    ) -> Result<Versioned<Option<ServiceView>>, Refusal> {
        let document = match edited {
            Err(missing @ Refusal::NotFound(_)) => return Err(missing),
            edited => {
                by.expected.refuse_stale(self.desired.number())?;
                edited?
            }
        };
        self.refuse_local(&document)?;
        vips::refuse_taken(&document, self.document(), self.claim(listeners, by))?;
        self.refuse_foreign(&document, by)?;
        if by.is_dry_run {
            return self.preview(&document, change.service());
        }
        let author = Author { by: by.name.clone(), what: change.to_string(), file: None };
        let former = self.state.clone();
        let steps = self.adopt(document, author, events).await.map_err(failed)?;
        if let Change::SetBackend { service, address, settings } = change
            && settings.admin == Some(Admin::Enabled)
        {
            let mut state = self.state.clone();
            state.change_backend(service, *address, Backend::let_back);
            self.follow(state);
            self.memory.note();
        }
        self.follow_vips().await;
        let Some(service) = self.state.service(change.service()) else {
            return Ok(self.versioned(None));
        };
        let mut view = self.service_view(service)?;
        view.warnings = outage(former.service(change.service()), service).into_iter().collect();
        if brings_vip(change) {
            view.warnings.extend(self.vip_warning(service.spec.vip.address.ip()));
        }
        view.steps = steps;
        Ok(self.versioned(Some(view)))
    }

    /// The service as a document would leave it, and what the document would change.
    fn preview(
        &self,
        document: &Document,
        name: &str,
    ) -> Result<Versioned<Option<ServiceView>>, Refusal> {
        let before = self.document();
        let mut next = self.state.clone();
        next.follow(&document.since(before)).map_err(failed)?;
        let Some(service) = next.service(name) else { return Ok(self.versioned(None)) };
        let mut view = self.service_view(service)?;
        view.warnings = outage(self.state.service(name), service).into_iter().collect();
        view.steps = steps(before, document);
        Ok(self.versioned(Some(view)))
    }

    fn versioned<T>(&self, value: T) -> Versioned<T> {
        Versioned { version: self.desired.settled_number(), value }
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

    /// What is to be compared to say what a file would change.
    pub(super) async fn compare(
        &mut self,
        file: Result<File, Refusal>,
        by: &Caller,
    ) -> Result<Comparison, Refusal> {
        self.is_untidy = true;
        by.expected.refuse_stale(self.desired.number())?;
        let File { loaded, listeners, .. } = file?;
        self.trust(&loaded, by).map_err(invalid)?;
        self.fit(&loaded, &listeners, by).await.map_err(invalid)?;
        let refused = self.config.refuse_restart_only(&loaded.config).err();
        Ok(Comparison {
            version: self.desired.number(),
            settings: self.config.steps_to(&loaded.config),
            refused: refused.map(|error| format!("{error:#}")),
            before: self.document().clone(),
            after: self.read_from(&loaded),
            state: self.state.clone(),
        })
    }

    pub(super) async fn apply(
        &mut self,
        file: Result<File, Refusal>,
        by: &Caller,
        events: &mut Events,
    ) -> Result<Plan, Refusal> {
        self.is_untidy = true;
        by.expected.refuse_stale(self.desired.number())?;
        let file = file?;
        let former = self.state.clone();
        let mut all = self.config.steps_to(&file.loaded.config);
        all.extend(self.apply_file(file, by, events).await.map_err(invalid)?);
        self.follow_vips().await;
        Ok(self.done(all, &former))
    }

    fn history(&self) -> Vec<VersionView> {
        self.desired.versions().rev().map(version_view).collect()
    }

    fn version(&self, number: u64) -> Result<VersionDetail, Refusal> {
        let version = self.desired.version(number).ok_or_else(|| no_version(number))?;
        Ok(VersionDetail {
            view: version_view(version),
            steps: self.desired.steps_of(number),
            document: version.document.clone(),
        })
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
    pub(super) async fn rollback(
        &mut self,
        number: u64,
        by: &Caller,
        listeners: &Listeners,
        events: &mut Events,
    ) -> Result<Plan, Refusal> {
        let former = self.desired.version(number).ok_or_else(|| no_version(number))?;
        by.expected.refuse_stale(self.desired.number())?;
        let what = format!("rolled back to version {}", former.number);
        let author = Author { by: by.name.clone(), what, file: None };
        let document = former.document.clone();
        vips::refuse_taken(&document, self.document(), self.claim(listeners, by))?;
        self.refuse_foreign(&document, by)?;
        if by.is_dry_run {
            return Ok(Comparison {
                version: self.desired.number(),
                settings: Vec::new(),
                refused: None,
                before: self.document().clone(),
                after: document,
                state: self.state.clone(),
            }
            .plan());
        }
        self.is_untidy = true;
        let former = self.state.clone();
        let steps = self.adopt(document, author, events).await.map_err(failed)?;
        Ok(self.done(steps, &former))
    }

    fn done(&self, steps: Vec<Step>, former: &State) -> Plan {
        let mut warnings = outages(former, &self.state);
        warnings.extend(self.vip_warnings());
        Plan { version: self.desired.number(), steps, refused: None, warnings }
    }
}

/// Documents to compare, which takes long if much is different: not in the loop.
pub(super) struct Comparison {
    version: u64,
    /// What becomes of the settings.
    settings: Vec<Step>,
    refused: Option<String>,
    before: Document,
    after: Document,
    state: State,
}

impl Comparison {
    pub(super) fn plan(self) -> Plan {
        let Self { version, settings, refused, before, after, state } = self;
        let mut next = state.clone();
        // A document that there is no room for is refused, and takes out nothing.
        let followed = next.follow(&after.since(&before));
        let warnings = followed.map(|()| outages(&state, &next)).unwrap_or_default();
        let steps = settings.into_iter().chain(steps(&before, &after)).collect();
        Plan { version, steps, refused, warnings }
    }
}

/// The outages that lead from one state to another.
fn outages(former: &State, present: &State) -> Vec<String> {
    let touched = present.touched_since(former);
    let services = touched.iter().filter_map(|name| present.service(name));
    let outages = services.filter_map(|service| {
        let name = &service.spec.name;
        Some(format!("{name}: {}", outage(former.service(name), service)?))
    });
    outages.collect()
}

/// That a change has taken out the last usable backend of a service, or would.
fn outage(former: Option<&Service>, present: &Service) -> Option<String> {
    let was_out = former.is_some_and(failover::is_out);
    let is_taken = former.is_some() || !present.backends.is_empty();
    (is_taken && !was_out && failover::is_out(present)).then(|| {
        format!("no usable backend is left: new connections are refused ({})", up_of(present))
    })
}

/// Whether a change gives a service its VIP.
pub(super) fn brings_vip(change: &Change) -> bool {
    match change {
        Change::AddService { .. } => true,
        Change::SetService { keys, .. } => keys.contains_key("vip"),
        _ => false,
    }
}

fn version_view(version: &Version) -> VersionView {
    VersionView {
        version: version.number,
        at: version.at,
        by: version.author.by.clone(),
        what: secrets::shown_history(&version.author.what),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::failover::tests::service, *};

    #[test]
    fn the_last_usable_backend_that_a_change_takes_out_is_warned_of() {
        let with = |admin, backends| {
            let mut service = service(json!({}), backends);
            if let Some(first) = service.backends.first_mut() {
                first.spec.admin = admin;
            }
            service
        };
        let enabled = |backends| with(Admin::Enabled, backends);
        for (former, present, is_warned) in [
            (enabled("ud"), with(Admin::Draining, "ud"), true),
            (enabled("ud"), with(Admin::Disabled, "ud"), true),
            (enabled("u"), enabled(""), true),
            (enabled("ud"), enabled("d"), true),
            (enabled("uu"), with(Admin::Draining, "uu"), false),
            (enabled("uU"), with(Admin::Draining, "uU"), false),
            (enabled("un"), with(Admin::Draining, "un"), false),
            (enabled("dd"), with(Admin::Draining, "dd"), false),
        ] {
            let warning = outage(Some(&former), &present);
            assert_eq!(warning.is_some(), is_warned, "{warning:?}");
        }
        assert_eq!(outage(None, &enabled("")), None, "a service is added before its backends");
        let warning = outage(Some(&enabled("u")), &with(Admin::Draining, "u")).expect("one");
        assert!(warning.contains("(1 of 1 backends up)"), "{warning}");
    }
}
