//! Warnings for the operator.

use lb_dataplane::ring::Need;
use lb_model::{Limits, views::RefusedReload};

use super::{
    interfaces::Interface, passive::taking_of, removed::Remains, service::Service,
    snapshot::Snapshot, standing, state::State, unrouted, views::Views,
};

impl Views<'_> {
    pub(super) fn warnings_of(&self, service: &Service, remains: &Remains<'_>) -> Vec<String> {
        let mut warnings = standing::warnings(service);
        warnings.extend(self.removed_backends(&service.spec.name, remains));
        warnings
    }

    /// Returns all warnings for the operator.
    pub(super) fn warnings(&self) -> Vec<String> {
        let Snapshot { config, state, document, .. } = self.snapshot;
        let interfaces = self.snapshot.interfaces.iter();
        let mut warnings: Vec<_> = interfaces.filter_map(Interface::warning).collect();
        warnings.extend(self.snapshot.behind.clone());
        warnings.extend(self.snapshot.warnings.iter().cloned());
        warnings.extend(excess(state, &config.limits));
        warnings.extend(self.snapshot.refused.as_ref().map(refused_reload));
        warnings.extend(self.snapshot.losses.warnings());
        warnings.extend(self.snapshot.connection_log.fault.clone());
        let remains = self.remains();
        warnings.extend(self.removed_warnings(&remains));
        warnings.extend(self.snapshot.unrouted.iter().map(|address| unrouted::warning(*address)));
        warnings.extend(unrouted::checks_of_vips(state, document));
        for service in state.services() {
            let name = &service.spec.name;
            for backend in &service.backends {
                if let Err(reason) = &backend.next_hop {
                    warnings.push(format!("{name}: {}: {reason}", backend.spec.address));
                }
            }
            let mut taking = None;
            let refusing = &self.snapshot.refusing;
            for backend in service.backends.iter().filter(|one| refusing.contains(&one.id)) {
                warnings.push(format!(
                    "{name}: {} refuses connections and is skipped: {}",
                    backend.spec.address,
                    taking.get_or_insert_with(|| taking_of(service, refusing))
                ));
            }
            let of_service = self.warnings_of(service, &remains);
            warnings.extend(of_service.into_iter().map(|one| format!("{name}: {one}")));
        }
        let capacity = u64::from(config.limits.flows) * 2;
        if self.snapshot.usage.entries > capacity / 10 * 8 {
            warnings.push("the flow table is more than 80 % full: raise limits.flows".to_owned());
        }
        warnings
    }
}

/// Returns a warning if the services exceed a limit once all backends are up.
pub(super) fn excess(state: &State, limits: &Limits) -> Option<String> {
    let excess = state.need().excess(Need::default(), limits)?;
    Some(format!("{excess}; some services may stay behind"))
}

fn refused_reload(RefusedReload { at, reason }: &RefusedReload) -> String {
    let at = at.strftime("%F %T UTC");
    format!(
        "the reload at {at} was refused and changed nothing (see the log for all errors): {reason}"
    )
}
