//! Addresses of services and backends.

use std::{net::SocketAddr, ops::Range};

use lb_model::address::{Mistake, parse};

use crate::diagnostics::{Diagnostic, Findings};

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
