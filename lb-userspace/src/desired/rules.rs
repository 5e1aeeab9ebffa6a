//! Rules that every document must follow, whatever its source.

use std::collections::HashSet;

use super::Document;
use crate::model::{Service, is_of_a_host};

/// Returns the rule that a service in its document violates, if any.
#[must_use]
pub fn violation(document: &Document, service: &Service) -> Option<String> {
    let others = || document.services().filter(|other| other.name != service.name);
    let vip = service.vip;
    if let Some(other) = others().find(|other| other.vip == vip) {
        return Some(format!(
            "VIP {vip} is that of service {} already: give each service its own address or port",
            other.name
        ));
    }
    for backend in &service.backends {
        let address = backend.address;
        if !address.is_ipv4() {
            return Some(format!("{address} is IPv6, which is not supported yet"));
        }
        if address.port() == 0 || !is_of_a_host(address.ip()) {
            return Some(format!(
                "{address} is no address of a server: give a host's address and a port from 1 on"
            ));
        }
        if vip.address == address {
            return Some(is_vip(&service.name, address));
        }
    }
    // Packets to it would loop.
    let addresses: HashSet<_> = service.backends.iter().map(|backend| backend.address).collect();
    for other in others() {
        if addresses.contains(&other.vip.address) {
            return Some(is_vip(&other.name, other.vip.address));
        }
        if let Some(backend) = other.backend(vip.address) {
            return Some(format!(
                "VIP {} is a backend of service {}: a backend must be a server behind it",
                backend.address, other.name
            ));
        }
    }
    None
}

fn is_vip(service: &str, address: std::net::SocketAddr) -> String {
    format!("{address} is the VIP of service {service}: a backend must be a server behind it")
}
