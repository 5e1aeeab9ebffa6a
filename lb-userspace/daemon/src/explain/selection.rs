//! How the backend of a new connection is selected, and why others are not.

use lb_common::trail::Trail;
use lb_model::{
    Refusal, Scheduler, Turns,
    views::{
        BackendView,
        explanation::{Candidate, Certainty, Selection},
    },
};

use crate::{service::Service, views::Views};

/// Returns how the packet's backend is selected, if it opens a connection.
pub(super) fn selection(views: &Views<'_>, trail: &Trail) -> Result<Option<Selection>, Refusal> {
    let Some(id) = trail.service.checked_sub(1) else { return Ok(None) };
    let Some(service) = views.snapshot.state.services().find(|service| service.id == id) else {
        return Ok(None);
    };
    let view = views.service(&service.spec.name)?;
    let has_primary = view.backends.iter().any(|backend| backend.in_ring && !backend.backup);
    let is_selected = |backend: &BackendView| {
        service.backend(backend.address).is_some_and(|b| b.id == trail.backend)
    };
    let candidates = view.backends.iter().map(|backend| Candidate {
        address: backend.address,
        why_not: (!is_selected(backend)).then(|| why_not(backend, has_primary)),
    });
    let waiting = service.leaving.iter().map(|backend| Candidate {
        address: backend.spec.address,
        why_not: (backend.id != trail.backend)
            .then(|| "removed, stays until another backend takes connections".to_owned()),
    });
    let remains = views.remains();
    let left = views.left_of(&service.spec.name, &remains);
    let left = left.map(|(address, why_not)| Candidate { address, why_not: Some(why_not) });
    let leaving = service.leaving.iter().find(|backend| backend.id == trail.backend);
    let selected = view.backends.iter().find(|backend| is_selected(backend));
    let policy = &service.spec.policy;
    Ok(Some(Selection {
        scheduler: name_of(service),
        certainty: certainty(policy.scheduler, policy.turns),
        slot: (trail.slot > 0).then_some(trail.slot),
        slots: trail.slots,
        backend: selected.map(|one| one.address).or(leaving.map(|one| one.spec.address)),
        candidates: candidates.chain(waiting).chain(left).collect(),
    }))
}

fn name_of(service: &Service) -> String {
    let name = serde_json::to_value(service.spec.policy.scheduler).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn certainty(scheduler: Scheduler, turns: Turns) -> Certainty {
    match (scheduler, turns) {
        (Scheduler::RoundRobin, Turns::Strict) => Certainty::Next,
        (Scheduler::RoundRobin, Turns::PerCpu) => Certainty::NextOnOneCpu,
        (Scheduler::Maglev | Scheduler::SourceHash, _) => Certainty::Always,
        (Scheduler::LeastConnections | Scheduler::Random, _) => Certainty::Drawn,
    }
}

fn why_not(backend: &BackendView, has_primary: bool) -> String {
    if let Some(unusable) = &backend.unusable {
        return match unusable.as_str() {
            "down" => format!("down since {}: {}", backend.since, backend.detail),
            other => other.to_owned(),
        };
    }
    if backend.in_ring {
        return "takes connections, but not this one".to_owned();
    }
    if backend.backup && has_primary {
        return "backup: waits until no other backend takes connections".to_owned();
    }
    "takes no connections at the moment".to_owned()
}
