//! Rules that every document must follow, whatever its source.

use std::collections::HashSet;

use lb_model::{Service, is_of_a_host};

use super::Document;

/// Returns the rule that a service in its document violates, if any.
#[must_use]
pub fn violation(document: &Document, service: &Service) -> Option<String> {
    of_itself(service).or_else(|| clash(document, service))
}

/// Returns the rule that a service violates whatever the document is, if any.
fn of_itself(service: &Service) -> Option<String> {
    for backend in &service.backends {
        let address = backend.address;
        if !address.is_ipv4() {
            return Some(format!("{address} is IPv6, which is not supported yet"));
        }
        if address.port() == 0 || !is_of_a_host(address.ip()) {
            return Some(format!(
                "{address} cannot be a server's address: give a host's address and a port from 1 to 65535"
            ));
        }
        if service.vip.address == address {
            return Some(is_vip(&service.name, address));
        }
    }
    None
}

/// Returns the clash of a service with another one of its document, if any.
#[must_use]
pub fn clash(document: &Document, service: &Service) -> Option<String> {
    let others = || document.services().filter(|other| other.name != service.name);
    let vip = service.vip;
    if let Some(other) = others().find(|other| other.vip == vip) {
        return Some(format!(
            "VIP {vip} is taken by service {}: give each service its own address or port",
            other.name
        ));
    }
    // Packets to it would loop.
    let addresses: HashSet<_> = service.backends.iter().map(|backend| backend.address).collect();
    for other in others() {
        if addresses.contains(&other.vip.address) {
            return Some(is_vip(&other.name, other.vip.address));
        }
        if let Some(backend) = other.backend(vip.address) {
            return Some(format!(
                "VIP {} is a backend of service {}: give the address of a server",
                backend.address, other.name
            ));
        }
    }
    None
}

fn is_vip(service: &str, address: std::net::SocketAddr) -> String {
    format!("{address} is the VIP of service {service}: give the address of a server")
}
