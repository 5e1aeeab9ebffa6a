//! Changes of services and backends.

use std::net::SocketAddr;

use lb_config::{
    Allowed, Refused,
    desired::{Author, Document, edited, steps, warnings},
};
use lb_host::listeners::Listeners;
use lb_model::{
    Admin, Change, Refusal,
    views::{ServiceView, Step},
};

use super::{
    comparison::{outage, tried},
    control::{Caller, Versioned},
    daemon::Daemon,
    events::Events,
    network,
    refusals::clashing,
    service::{Backend, Service},
    snapshot::Snapshot,
    state::State,
    views::Views,
    vips,
};

impl Daemon {
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
        vips::refuse_ungrouped(&document, self.document(), &self.config)?;
        vips::refuse_taken(&document, self.document(), self.claim(listeners, by))?;
        self.refuse_foreign(&document, by)?;
        let taken = vips::warnings(&document, self.document(), listeners);
        let doubtful = warnings(self.document(), &document, change);
        let messages = taken.iter().map(|one| one.message.clone()).chain(doubtful);
        let messages: Vec<_> = messages.collect();
        if by.is_dry_run {
            let mut previewed = self.preview(&document, change).await?;
            previewed.value.iter_mut().for_each(|view| view.warnings.extend(messages.clone()));
            return Ok(previewed);
        }
        let author = Author { by: by.name.clone(), what: change.to_string(), file: None };
        let former = self.state.clone();
        let mut steps = self.adopt(document, author, events).await.map_err(clashing)?;
        vips::told(&taken);
        if let Some(failback) = failback(former.service(change.service()), change) {
            self.let_back(change, by, steps.is_empty());
            steps.push(failback);
        }
        self.follow_vips().await;
        let Some(service) = self.state.service(change.service()) else {
            return Ok(self.versioned(None));
        };
        let mut view = self.service_view(&self.state, change.service())?;
        view.warnings = outage(former.service(change.service()), service).into_iter().collect();
        if brings_vip(change) {
            view.warnings.extend(self.vip_warning(service.spec.vip.address.ip()));
        }
        view.warnings.extend(messages);
        view.steps = steps;
        Ok(self.versioned(Some(view)))
    }

    /// Returns a service of a state.
    fn service_view(&self, state: &State, name: &str) -> Result<ServiceView, Refusal> {
        let snapshot = Snapshot { state: state.clone(), ..self.snapshot() };
        Views { snapshot: &snapshot, counters: &self.kernel.counters }.service(name)
    }

    /// Returns the service after a document, and the changes of the document. A service that it would
    /// remove is shown as it is.
    pub(super) async fn preview(
        &self,
        document: &Document,
        change: &Change,
    ) -> Result<Versioned<Option<ServiceView>>, Refusal> {
        let (before, name) = (self.document(), change.service());
        let former = self.state.service(name);
        let next = tried(&self.state, &document.since(before), self.kernel.sync.trial())
            .map_err(clashing)?;
        let present = next.service(name);
        let Some(service) = present.or(former) else { return Ok(self.versioned(None)) };
        let state = if present.is_some() { &next } else { &self.state };
        let mut view = self.service_view(state, name)?;
        view.warnings = present.and_then(|one| outage(former, one)).into_iter().collect();
        if brings_vip(change) {
            view.warnings.extend(self.warnings_of_vips([service.spec.vip.address.ip()]).await);
        }
        view.steps = steps(before, document);
        view.steps.extend(failback(former, change));
        Ok(self.versioned(Some(view)))
    }

    /// Ends the wait of a backend for the operator. Logs it if it is the whole change.
    pub(super) fn let_back(&mut self, change: &Change, by: &Caller, is_all: bool) {
        let Change::SetBackend { service, address, .. } = change else { return };
        if is_all {
            log::info!("{}: {change}", by.name);
        }
        let mut state = self.state.clone();
        state.change_backend(service, *address, Backend::let_back);
        self.follow(state);
        self.memory.note();
    }

    /// Returns an error if new backends of a document have addresses of the balancer itself.
    pub(super) fn refuse_local(&self, document: &Document) -> Result<(), Refusal> {
        let before = self.document();
        let own = network::own(&self.network.addresses);
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
    pub(super) fn refuse_foreign(&self, document: &Document, by: &Caller) -> Result<(), Refusal> {
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
}

/// Returns the step of a change that enables a backend which waits for the operator.
pub(super) fn failback(former: Option<&Service>, change: &Change) -> Option<Step> {
    let Change::SetBackend { service, address, settings } = change else { return None };
    let is_held = former?.backend(*address)?.held;
    let is_let_back = is_held && settings.admin == Some(Admin::Enabled);
    is_let_back.then(|| Step::failback(service, *address))
}

/// Returns true if a change sets the VIP of a service.
pub(super) fn brings_vip(change: &Change) -> bool {
    match change {
        Change::AddService { .. } => true,
        Change::SetService { keys, .. } => keys.contains_key("vip"),
        _ => false,
    }
}
