//! Edits of the document by commands.

use std::{net::SocketAddr, sync::Arc};

use lb_model::{Admin, Backend, Change, KeyFault, Policy, Refusal, Service, Settings};

use super::{
    Document,
    rules::{clash, violation},
};
use crate::Diagnostics;

/// Returns the document after a change. Settings that the change leaves open take the configured
/// defaults.
pub fn edited(
    document: &Document,
    change: &Change,
    defaults: &Policy,
) -> Result<Document, Refusal> {
    let name = change.service();
    let edited = match change {
        Change::AddService { name, keys } => {
            if document.service(name).is_some() {
                return Err(Refusal::Conflict(format!(
                    "there is a service {name} already: change it with \
                     `xdplb service set {name} …`"
                )));
            }
            document.with(crate::service(name, keys, defaults).map_err(invalid)?)
        }
        Change::SetService { keys, .. } => {
            let service = named(document, name)?;
            document.with(crate::changed_service(service, keys, defaults).map_err(invalid)?)
        }
        Change::RemoveService { .. } => {
            named(document, name)?;
            return Ok(document.without(name));
        }
        Change::AddBackend { backend, .. } => {
            let mut service = Service::clone(named(document, name)?);
            if service.backend(backend.address).is_some() {
                let address = backend.address;
                return Err(Refusal::Conflict(format!(
                    "{name} has the backend {address} already: change it with \
                     `xdplb backend set {name} {address} …`"
                )));
            }
            service.backends.push(backend.clone());
            document.with(service)
        }
        Change::RemoveBackend { address, .. } => {
            let mut service = Service::clone(named(document, name)?);
            let place = place(&service, *address)?;
            service.backends.remove(place);
            document.with(service)
        }
        Change::SetBackend { address, settings, .. } => {
            if settings.until.is_some() && settings.admin != Some(Admin::Draining) {
                let detail = "`until` is for draining: give it with `admin` as `draining`";
                return Err(Refusal::InvalidKeys(vec![KeyFault::at(
                    &["until".to_owned()],
                    detail,
                )]));
            }
            let mut service = Service::clone(named(document, name)?);
            let place = place(&service, *address)?;
            set(&mut service.backends[place], *settings);
            document.with(service)
        }
    };
    let Some(service) = edited.service(name) else { return Ok(edited) };
    if let Some(clash) = clash(&edited, service) {
        return Err(Refusal::Conflict(clash));
    }
    match violation(&edited, service) {
        Some(violation) => Err(Refusal::Invalid(violation)),
        None => Ok(edited),
    }
}

/// Returns the service of that name, or [`Refusal::NotFound`].
pub fn named<'a>(document: &'a Document, name: &str) -> Result<&'a Arc<Service>, Refusal> {
    let missing = || Refusal::NotFound(format!("there is no service {name}"));
    document.service(name).ok_or_else(missing)
}

fn place(service: &Service, address: SocketAddr) -> Result<usize, Refusal> {
    let place = service.backends.iter().position(|backend| backend.address == address);
    place.ok_or_else(|| Refusal::NotFound(format!("{} has no backend {address}", service.name)))
}

fn set(backend: &mut Backend, settings: Settings) {
    backend.weight = settings.weight.unwrap_or(backend.weight);
    backend.backup = settings.backup.unwrap_or(backend.backup);
    if let Some(admin) = settings.admin {
        backend.admin = admin;
        backend.drain_until = settings.until;
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn invalid(error: anyhow::Error) -> Refusal {
    if let Some(fault) = error.downcast_ref::<KeyFault>() {
        return Refusal::InvalidKeys(vec![fault.clone()]);
    }
    let found = error.downcast_ref::<Diagnostics>();
    match found.map(Diagnostics::keys) {
        Some(keys) if !keys.is_empty() => Refusal::InvalidKeys(keys.to_vec()),
        _ => Refusal::Invalid(found.map_or_else(|| format!("{error:#}"), Diagnostics::sentence)),
    }
}
