//! VIPs that are listened at by servers of this host, whose connections the program would take.

use std::{collections::HashSet, net::SocketAddr};

use super::Document;
use crate::{
    config::{Fault, Loaded},
    control::Refusal,
    listeners::{Listener, Listeners},
    model::Service,
};

/// Finds VIPs of a file that the running document does not have, and that a server of this host has.
pub(super) fn find_listeners(loaded: &Loaded, running: &Document, faults: &mut Vec<Fault>) {
    let known = vips(running);
    let services = loaded.config.services.iter().enumerate();
    let new: Vec<_> = services.filter(|(_, one)| !known.contains(&one.vip.address)).collect();
    if new.is_empty() {
        return;
    }
    let listeners = read();
    for (place, service) in new {
        match taken(&listeners, service) {
            Some(Listener { message, fix, .. }) => {
                faults.push(loaded.vip_fault(place, &message, fix));
            }
            None => warn_of(&listeners, service),
        }
    }
}

/// Refuses a document with VIPs that the running one does not have, and that a server of this host has.
pub(super) fn refuse_taken(document: &Document, running: &Document) -> Result<(), Refusal> {
    let set = document.since(running).set;
    if set.is_empty() {
        return Ok(());
    }
    let known = vips(running);
    let new: Vec<_> = set.iter().filter(|one| !known.contains(&one.vip.address)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let listeners = read();
    for service in new {
        if let Some(Listener { message, fix, .. }) = taken(&listeners, service) {
            return Err(Refusal::Invalid(format!("{}: `vip`: {message}: {fix}", service.name)));
        }
        warn_of(&listeners, service);
    }
    Ok(())
}

/// Warns of all VIPs that servers of this host listen at.
pub(super) fn warn(document: &Document) {
    let listeners = read();
    document.services().for_each(|service| warn_of(&listeners, service));
}

fn warn_of(listeners: &Listeners, service: &Service) {
    if let Some(Listener { message, fix, .. }) = listeners.find(service.vip.address) {
        log::warn!("{}: {message}; {fix}", service.name);
    }
}

fn taken(listeners: &Listeners, service: &Service) -> Option<Listener> {
    listeners.find(service.vip.address).filter(|found| found.is_exact)
}

fn read() -> Listeners {
    Listeners::read().unwrap_or_else(|error| {
        log::warn!("VIPs are not compared with this host's servers: {error:#}");
        Listeners::default()
    })
}

fn vips(document: &Document) -> HashSet<SocketAddr> {
    document.services().map(|service| service.vip.address).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::{config::service, control::Keys, model::Policy};

    fn document(vips: &[SocketAddr]) -> Document {
        let mut keys = Keys::new();
        keys.insert("vip".to_owned(), "203.0.113.9:80".into());
        let base = service("base", &keys, &Policy::default()).expect("valid");
        Document::of(vips.iter().enumerate().map(|(nth, vip)| {
            let mut service = Service { name: format!("s{nth}"), ..base.clone() };
            service.vip.address = *vip;
            service
        }))
    }

    #[test]
    fn ports_of_this_hosts_own_servers_are_not_taken() {
        let server = TcpListener::bind("127.0.0.1:0").expect("binds");
        let taken = server.local_addr().expect("bound");
        let free = "203.0.113.10:80".parse().expect("an address");
        let refused = refuse_taken(&document(&[free, taken]), &document(&[]));
        let Err(Refusal::Invalid(said)) = refused else { panic!("{refused:?}") };
        assert!(said.starts_with("s1: `vip`: ") && said.contains(&taken.to_string()), "{said}");
        assert!(said.contains("give the service another address or port"), "{said}");
        refuse_taken(&document(&[free]), &document(&[])).expect("free");
        // A service that runs already goes on, and may be changed.
        refuse_taken(&document(&[taken, free]), &document(&[free, taken])).expect("has it");
    }
}
