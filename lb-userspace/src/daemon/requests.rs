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
    sync::Trial,
    vips,
};
use crate::{
    config::{Allowed, Refused},
    connections::Listing,
    control::{
        Caller, Change, Plan, Refusal, Reply, Request, ServiceView, VersionDetail, VersionView,
        Versioned,
    },
    desired::{Author, Difference, Document, Step, Version, edited, named, steps},
    model::Admin,
    secrets,
};
use lb_host::listeners::Listeners;

/// A change that waits for the previous one.
pub(super) struct Waiting {
    change: Change,
    by: Caller,
    reply: Reply<Versioned<Option<ServiceView>>>,
}

impl Daemon {
    /// Answers a request or queues it for the reader; returns a change that needs neither.
    pub(super) fn answer(&mut self, request: Request) -> Option<Waiting> {
        // The client may have disconnected.
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

    /// Applies the oldest waiting change.
    pub(super) async fn change(&mut self, events: &mut Events) {
        let Some(Waiting { change, by, reply }) = self.waiting.pop_front() else { return };
        // It sets no VIP.
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

    /// Applies a change atomically. Returns the changed service, or None if it was removed.
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
        let taken = vips::warnings(&document, self.document(), listeners);
        if by.is_dry_run {
            let mut previewed = self.preview(&document, change).await?;
            previewed.value.iter_mut().for_each(|view| view.warnings.extend(taken.clone()));
            return Ok(previewed);
        }
        let author = Author { by: by.name.clone(), what: change.to_string(), file: None };
        let former = self.state.clone();
        let steps = self.adopt(document, author, events).await.map_err(failed)?;
        for warning in &taken {
            log::warn!("{warning}");
        }
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
        view.warnings.extend(taken);
        view.steps = steps;
        Ok(self.versioned(Some(view)))
    }

    /// Returns the service after a document, and the changes of the document. A service that it would
    /// remove is shown as it is.
    async fn preview(
        &self,
        document: &Document,
        change: &Change,
    ) -> Result<Versioned<Option<ServiceView>>, Refusal> {
        let (before, name) = (self.document(), change.service());
        let former = self.state.service(name);
        let next =
            tried(&self.state, &document.since(before), self.sync.trial()).map_err(failed)?;
        let present = next.service(name);
        let Some(service) = present.or(former) else { return Ok(self.versioned(None)) };
        let mut view = self.service_view(service)?;
        view.warnings = present.and_then(|one| outage(former, one)).into_iter().collect();
        if brings_vip(change) {
            view.warnings.extend(self.warnings_of_vips([service.spec.vip.address.ip()]).await);
        }
        view.steps = steps(before, document);
        Ok(self.versioned(Some(view)))
    }

    /// What to compare the present document and another one by.
    async fn comparison(&self, after: Document) -> Comparison {
        let vips = after.services().map(|service| service.vip.address.ip());
        Comparison {
            version: self.desired.number(),
            settings: Vec::new(),
            refused: None,
            vip_warnings: self.warnings_of_vips(vips).await,
            before: self.document().clone(),
            after,
            state: self.state.clone(),
            trial: self.sync.trial(),
        }
    }

    fn versioned<T>(&self, value: T) -> Versioned<T> {
        Versioned { version: self.desired.settled_number(), value }
    }

    /// Returns an error if new backends of a document have addresses of the balancer itself.
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

    /// Returns an error if a document has new programs or files that its author may not set.
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

    /// Returns the comparison of a file with the running configuration.
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
        let document = self.read_from(&loaded);
        let taken = vips::warnings(&document, self.document(), &listeners);
        let mut comparison = self.comparison(document).await;
        comparison.vip_warnings.extend(taken);
        Ok(Comparison {
            settings: self.config.steps_to(&loaded.config),
            refused: refused.map(|error| format!("{error:#}")),
            ..comparison
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
        let document = self.read_from(&file.loaded);
        let taken = vips::warnings(&document, self.document(), &file.listeners);
        all.extend(self.apply_file(file, by, events).await.map_err(invalid)?);
        let mut plan = self.done(all, &former).await;
        plan.warnings.extend(taken);
        Ok(plan)
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

    /// Queues a rollback, to read the listeners on its VIPs first. The default is the previous
    /// version.
    fn read_rollback(&self, to: Option<u64>, by: Caller, reply: Reply<Plan>) {
        let former = match to {
            Some(number) => self.desired.version(number).ok_or_else(|| no_version(number)),
            None => self
                .desired
                .former()
                .ok_or_else(|| Refusal::Conflict("there is no earlier version".to_owned())),
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

    /// Applies the services of an earlier version.
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
        self.refuse_local(&document)?;
        vips::refuse_taken(&document, self.document(), self.claim(listeners, by))?;
        self.refuse_foreign(&document, by)?;
        let taken = vips::warnings(&document, self.document(), listeners);
        if by.is_dry_run {
            let mut plan = self.comparison(document).await.plan();
            plan.warnings.extend(taken);
            return match plan.refused {
                Some(refused) => Err(Refusal::Failed(refused)),
                None => Ok(plan),
            };
        }
        self.is_untidy = true;
        let former = self.state.clone();
        let steps = self.adopt(document, author, events).await.map_err(failed)?;
        for warning in &taken {
            log::warn!("{warning}");
        }
        let mut plan = self.done(steps, &former).await;
        plan.warnings.extend(taken);
        Ok(plan)
    }

    async fn done(&mut self, steps: Vec<Step>, former: &State) -> Plan {
        self.follow_vips().await;
        let mut warnings = outages(former, &self.state);
        warnings.extend(self.new_vip_warnings(former));
        Plan { version: self.desired.number(), steps, refused: None, warnings }
    }
}

/// Documents to compare outside the loop, as many differences take long.
pub(super) struct Comparison {
    version: u64,
    /// Changes of the settings.
    settings: Vec<Step>,
    refused: Option<String>,
    vip_warnings: Vec<String>,
    before: Document,
    after: Document,
    state: State,
    trial: Trial,
}

impl Comparison {
    pub(super) fn plan(self) -> Plan {
        let Self { version, settings, refused, vip_warnings, before, after, state, trial } = self;
        let (mut warnings, no_room) = match tried(&state, &after.since(&before), trial) {
            Ok(next) => (outages(&state, &next), None),
            // It takes out nothing.
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        warnings.extend(vip_warnings);
        let steps = settings.into_iter().chain(steps(&before, &after)).collect();
        Plan { version, steps, refused: refused.or(no_room), warnings }
    }
}

/// Returns the state after a difference, if there is room for it.
fn tried(state: &State, difference: &Difference, trial: Trial) -> anyhow::Result<State> {
    let mut next = state.clone();
    next.follow(difference)?;
    if !difference.is_empty() {
        trial.check(&next.goal())?;
    }
    Ok(next)
}

/// Returns the outages between two states.
fn outages(former: &State, present: &State) -> Vec<String> {
    let touched = present.touched_since(former);
    let services = touched.iter().filter_map(|name| present.service(name));
    let outages = services.filter_map(|service| {
        let name = &service.spec.name;
        Some(format!("{name}: {}", outage(former.service(name), service)?))
    });
    outages.collect()
}

/// Returns a warning if a change removes the last usable backend of a service.
fn outage(former: Option<&Service>, present: &Service) -> Option<String> {
    let was_out = former.is_some_and(failover::is_out);
    let is_taken = former.is_some() || !present.backends.is_empty();
    (is_taken && !was_out && failover::is_out(present)).then(|| {
        format!("no usable backend is left: new connections are refused ({})", up_of(present))
    })
}

/// Returns true if a change sets the VIP of a service.
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

    use lb_common::{backend::Hop, snat::Source};

    use super::{
        super::{
            failover::tests::service,
            state::{Route, tests::state_of},
        },
        *,
    };
    use crate::model::{self, Health};

    #[test]
    fn removal_of_the_last_usable_backend_is_a_warning() {
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

    /// A state whose service has a ring, its document, and one that gives the service another VIP.
    fn moved() -> (State, Document, Document) {
        let mut state = state_of(&[1]);
        let spec = |name: &str, last: u8| {
            let mut spec = model::Service::clone(&state.services().next().expect("one").spec);
            spec.name = name.to_owned();
            spec.vip.address.set_ip([203, 0, 113, last].into());
            spec
        };
        let before = Document::of([spec("s1", 1)]);
        let after = Document::of([spec("s1", 2)]);
        state.resolve(vec![([10, 0, 0, 1].into(), route())]);
        state.change_backend("s1", ([10, 0, 0, 1], 80).into(), |one| one.health = Health::Up);
        (state, before, after)
    }

    fn route() -> Route {
        let source = Source { address: [0; 16], first_port: 1, ports: 1 };
        Route { hop: Ok(Hop::new([2; 6], [4; 6], 1)), sources: vec![source] }
    }

    #[test]
    fn a_plan_says_that_there_is_no_room_as_the_change_itself_would() {
        let (state, before, after) = moved();
        let plan = |slots, refused: Option<&str>, after: &Document| {
            let comparison = Comparison {
                version: 1,
                settings: Vec::new(),
                refused: refused.map(ToOwned::to_owned),
                vip_warnings: vec!["no route".to_owned()],
                before: before.clone(),
                after: after.clone(),
                state: state.clone(),
                trial: Trial::with_room(slots),
            };
            comparison.plan()
        };
        let fits = plan(1, None, &after);
        assert_eq!((fits.refused, fits.warnings), (None, vec!["no route".to_owned()]));
        let crowded = plan(0, None, &after);
        let refused = crowded.refused.expect("no room");
        assert!(refused.contains("no room for a ring of 1 slots"), "{refused}");
        assert!(!crowded.steps.is_empty());
        assert_eq!(plan(0, None, &before).refused, None, "nothing is to be written");
        assert_eq!(plan(0, Some("restart"), &after).refused.as_deref(), Some("restart"));
    }
}
