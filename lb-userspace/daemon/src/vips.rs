//! VIPs that servers on this host listen on, whose connections the program would take.

use std::{collections::HashSet, fmt, net::SocketAddr};

use lb_config::{Config, Fault, Loaded, desired::Document};
use lb_host::listeners::{Listener, Listeners};
use lb_model::{Refusal, Service};
use lb_neighbours::OwnAddresses;

/// Fix of a VIP that only root may take.
const ROOTS: &str = "give the service another address or port, or make this change as root";

/// Author of new VIPs, and the listeners on them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) is_root: bool,
    /// True if root has used `--force`.
    pub(super) forces: bool,
    pub(super) own: &'a OwnAddresses,
    pub(super) listeners: &'a Listeners,
}

impl Claim<'_> {
    /// Returns the reason why a service must not have its VIP, and the fix.
    fn refusal(&self, vip: SocketAddr) -> Option<(String, String)> {
        let Listener { message, fix, is_exact } = self.listeners.find(vip)?;
        if self.is_root {
            let refused = is_exact && !self.forces;
            return refused.then(|| (message, format!("{fix}; or take it anyway with `--force`")));
        }
        if is_exact {
            return Some((message, fix.to_owned()));
        }
        let is_own = self.own.iter().any(|(_, address)| *address == vip.ip());
        is_own.then(|| (format!("{message}, which only root may decide"), ROOTS.to_owned()))
    }
}

/// Finds VIPs of a file that the running document does not have, and that a server on this host
/// listens on.
pub(super) fn find_taken(
    loaded: &Loaded,
    running: &Document,
    claim: Claim<'_>,
    faults: &mut Vec<Fault>,
) {
    let known = vips(running);
    let services = loaded.config.services.iter().enumerate();
    for (place, service) in services.filter(|(_, one)| !known.contains(&one.vip.address)) {
        if let Some((message, fix)) = claim.refusal(service.vip.address) {
            faults.push(loaded.vip_fault(place, &message, &fix));
        }
    }
}

/// Returns an error if a document has VIPs that the running one does not have, and that a server on
/// this host listens on.
pub(super) fn refuse_taken(
    document: &Document,
    running: &Document,
    claim: Claim<'_>,
) -> Result<(), Refusal> {
    let known = vips(running);
    let set = document.since(running).set;
    for service in set.iter().filter(|one| !known.contains(&one.vip.address)) {
        if let Some((message, fix)) = claim.refusal(service.vip.address) {
            return Err(Refusal::Conflict(format!("{}: `vip`: {message}: {fix}", service.name)));
        }
    }
    Ok(())
}

/// Returns an error if a document has VIPs that the running one does not have, and that are in no group
/// although there are groups.
pub(super) fn refuse_ungrouped(
    document: &Document,
    running: &Document,
    config: &Config,
) -> Result<(), Refusal> {
    let known = vips(running);
    let set = document.since(running).set;
    for service in set.iter().filter(|one| !known.contains(&one.vip.address)) {
        if let Some((message, fix)) = config.ungrouped(service) {
            let name = &service.name;
            return Err(Refusal::Conflict(format!("{name}: `vip`: {message}: {fix}")));
        }
    }
    Ok(())
}

/// Warning of a server of this host whose clients the VIP of a service takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    service: String,
    pub(super) message: String,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.service, self.message)
    }
}

/// Logs warnings, and returns their lines.
pub(super) fn told(taken: &[Taken]) -> Vec<String> {
    let lines: Vec<_> = taken.iter().map(Taken::to_string).collect();
    for line in &lines {
        log::warn!("{line}");
    }
    lines
}

/// Returns warnings of the servers of this host whose clients new VIPs of a document take.
pub(super) fn warnings(
    document: &Document,
    running: &Document,
    listeners: &Listeners,
) -> Vec<Taken> {
    let known = vips(running);
    let set = document.since(running).set;
    let new = set.iter().filter(|service| !known.contains(&service.vip.address));
    new.filter_map(|service| warning(listeners, service)).collect()
}

/// Warns of all VIPs that servers on this host listen on.
pub(super) fn warn(document: &Document) {
    let listeners = read(document.services().map(|service| service.vip.address));
    let warnings = document.services().filter_map(|service| warning(&listeners, service));
    warnings.for_each(|warning| log::warn!("{warning}"));
}

/// Reads the listeners on VIPs. Slow on a host with many sockets or processes.
pub(super) fn read(vips: impl IntoIterator<Item = SocketAddr>) -> Listeners {
    Listeners::read(vips).unwrap_or_else(|error| {
        log::warn!("cannot compare VIPs with this host's servers: {error:#}");
        Listeners::default()
    })
}

fn warning(listeners: &Listeners, service: &Service) -> Option<Taken> {
    let Listener { message, fix, .. } = listeners.find(service.vip.address)?;
    Some(Taken { service: service.name.clone(), message: format!("{message}; {fix}") })
}

fn vips(document: &Document) -> HashSet<SocketAddr> {
    document.services().map(|service| service.vip.address).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use lb_config::service;
    use lb_model::{Keys, Policy};

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

    /// Returns the error for a caller who sets these VIPs on a host with the address 203.0.113.1.
    fn refused(is_root: bool, vips: &[SocketAddr], running: &[SocketAddr]) -> Option<String> {
        let own = OwnAddresses::from([(2, [203, 0, 113, 1].into())]);
        let listeners = read(vips.iter().copied());
        let claim = Claim { is_root, forces: false, own: &own, listeners: &listeners };
        let refused = refuse_taken(&document(vips), &document(running), claim);
        let forced = Claim { forces: true, ..claim };
        let forced = refuse_taken(&document(vips), &document(running), forced);
        assert_eq!(forced.is_err(), refused.is_err() && !is_root);
        refused.err().map(|refusal| refusal.detail().into_owned())
    }

    #[test]
    fn ports_of_this_hosts_own_servers_are_not_taken() {
        let server = TcpListener::bind("127.0.0.1:0").expect("binds");
        let taken = server.local_addr().expect("bound");
        let free = "203.0.113.10:80".parse().expect("an address");
        for is_root in [true, false] {
            let said = refused(is_root, &[free, taken], &[]).expect("refused");
            assert!(said.starts_with("s1: `vip`: ") && said.contains(&taken.to_string()), "{said}");
            assert!(said.contains("give the service another address or port"), "{said}");
            assert_eq!(refused(is_root, &[free], &[]), None);
            // A running service continues, and may be changed.
            assert_eq!(refused(is_root, &[taken, free], &[free, taken]), None);
        }
    }

    #[test]
    fn only_root_takes_ports_of_servers_on_all_addresses() {
        let server = TcpListener::bind("0.0.0.0:0").expect("binds");
        let port = server.local_addr().expect("bound").port();
        let [own, other] =
            [[203, 0, 113, 1], [203, 0, 113, 10]].map(|address| SocketAddr::from((address, port)));
        let said = refused(false, &[other, own], &[]).expect("refused");
        assert!(said.starts_with("s1: `vip`: "), "{said}");
        for word in [&format!("listens on 0.0.0.0:{port} "), "only root may", ROOTS] {
            assert!(said.contains(word), "{said}: {word}");
        }
        assert_eq!(refused(true, &[other, own], &[]), None);
        let listeners = read([other, own]);
        let warned = warnings(&document(&[other, own]), &document(&[other]), &listeners);
        assert_eq!(warned.len(), 1, "{warned:?}");
        let Taken { service, message } = &warned[0];
        assert!(message.contains(&format!("clients that connect to {own}")), "{message}");
        assert!(!message.contains(service) && warned[0].to_string().starts_with("s1: "));
        assert_eq!(refused(false, &[other], &[]), None, "no server of the host gets its clients");
        assert_eq!(refused(false, &[own], &[own]), None, "it runs already");
    }
}
