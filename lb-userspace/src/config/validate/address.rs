//! Addresses of services and backends.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Range,
    str::FromStr,
};

use crate::{
    config::diagnostics::{Diagnostic, Findings},
    model::is_of_a_host,
};

/// A fault of an address, and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Mistake {
    pub(in crate::config) message: String,
    pub(in crate::config) fix: &'static str,
}

/// Parses a port and an IPv4 address that a host on the network can have.
pub(super) fn address_and_port(
    text: &str,
    span: Range<usize>,
    findings: &mut Findings,
) -> Option<SocketAddr> {
    match parse(text) {
        Ok(address) => Some(address),
        Err(Mistake { message, fix }) => {
            findings.push(Diagnostic::error(span, message, fix));
            None
        }
    }
}

pub(in crate::config) fn parse(text: &str) -> Result<SocketAddr, Mistake> {
    let refuse = |message: String, fix| Err(Mistake { message, fix });
    // Without brackets, the port would be the last group of an IPv6 address.
    if text.starts_with('[') || Ipv6Addr::from_str(text).is_ok() {
        return refuse("IPv6 is not supported yet".to_owned(), "give an IPv4 address and port");
    }
    let Some((address, port)) = text.rsplit_once(':').filter(|(_, port)| !port.is_empty()) else {
        return refuse(
            "the port is missing".to_owned(),
            "give address and port, as in 10.0.0.1:80",
        );
    };
    let Ok(address) = Ipv4Addr::from_str(address) else {
        return refuse(format!("{address} is not an IPv4 address"), "names are not looked up");
    };
    if !is_of_a_host(address.into()) {
        return refuse(
            format!("{address} cannot be a host's address"),
            "give the one address that packets are sent to",
        );
    }
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match u16::from_str(port) {
        Ok(port) if port > 0 && is_number => Ok((address, port).into()),
        _ => refuse(format!("port {port} is out of range"), "a port is 1 to 65535"),
    }
}
