//! Keys of the HTTP server.

use std::net::SocketAddr;

use lb_model::secrets::HIDDEN;

use crate::{
    diagnostics::{Diagnostic, Findings},
    schema::Api,
};

const EXAMPLE: &str = "http = \"127.0.0.1:9370\"";

/// Minimum length of a token.
const SHORTEST: usize = 16;

fn is_of_token(character: char) -> bool {
    // RFC 6750, section 2.1.
    character.is_ascii_alphanumeric() || "-._~+/=".contains(character)
}

/// Returns where HTTP is served, if anywhere.
pub(crate) fn http(api: &Api, findings: &mut Findings) -> Option<SocketAddr> {
    let http = api.http.as_ref()?;
    let Ok(address) = http.get_ref().parse::<SocketAddr>() else {
        let fix = format!("give an IP address and a port, as in {EXAMPLE}");
        findings.push(Diagnostic::error(http.span(), "this is not an address and port", fix));
        return None;
    };
    if address.port() == 0 {
        let fix = format!("give a port, as in {EXAMPLE}");
        findings.push(Diagnostic::error(http.span(), "port 0 cannot be used", fix));
    } else if !address.ip().is_loopback() && api.http_token.is_none() {
        findings.push(Diagnostic::error(
            http.span(),
            format!("any host that reaches {address} could read this"),
            format!("set `api.http_token`, or give a loopback address, as in {EXAMPLE}"),
        ));
    }
    Some(address)
}

/// Returns the token that clients need.
pub(crate) fn http_token(api: &Api, findings: &mut Findings) -> Option<String> {
    let token = api.http_token.as_ref()?;
    let text = token.get_ref();
    let fix = "give one made at random, as by `openssl rand -hex 24`";
    if text == HIDDEN {
        let message = format!("{HIDDEN} stands for a value that is not shown");
        findings.push(Diagnostic::error(token.span(), message, "give the token itself"));
    } else if text.chars().any(|one| !is_of_token(one)) {
        let message = "a token has letters, digits and -._~+/= only";
        findings.push(Diagnostic::error(token.span(), message, fix));
    } else if text.len() < SHORTEST {
        let message = format!("the token is shorter than {SHORTEST} characters");
        findings.push(Diagnostic::error(token.span(), message, fix));
    } else if api.http.is_none() {
        let fix = format!("set it, as in {EXAMPLE}, or remove the token");
        findings.push(Diagnostic::warning(token.span(), "there is no `api.http`", fix));
    }
    Some(text.clone())
}
