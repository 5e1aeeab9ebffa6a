//! From text to a configuration.

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::{
    Api, Config, Diagnostics, Loaded, Source, Spans,
    diagnostics::Diagnostic,
    schema::{self, File},
    validate::{self, Findings},
};
use crate::{
    control::Keys,
    model::{Policy, Service},
};

pub(super) fn parse(source: Source) -> Result<Loaded> {
    let file: File = structure(&source)?;
    let mut findings = Findings::default();
    let spans = spans(&file);
    let config = assemble(file, &mut findings);
    let warnings = warnings(&source, findings)?;
    let warnings =
        warnings.into_iter().map(|warning| Diagnostics::new(&source, &[warning])).collect();
    let digest = format!("{:x}", Sha256::digest(&source.text));
    Ok(Loaded { config, warnings, digest, source, spans })
}

/// Reads one service from its keys, as if they stood in a file.
pub(super) fn service(name: &str, keys: &Keys, base: &Policy) -> Result<Service> {
    let mut keys = keys.clone();
    keys.insert("name".to_owned(), name.into());
    let text = toml::to_string(&keys).context("these are no keys of a service")?;
    let source = Source { path: "service".to_owned(), text };
    let service: schema::Service = structure(&source)?;
    let mut findings = Findings::default();
    let parsed = validate::service(&service, base, &mut findings);
    warnings(&source, findings)?;
    parsed.context("the service has no VIP")
}

fn structure<T: DeserializeOwned>(source: &Source) -> Result<T> {
    toml::from_str(&source.text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let diagnostic = Diagnostic::error(span, error.message(), "");
        Diagnostics::new(source, &[diagnostic]).into()
    })
}

/// What is only a warning among these, if nothing is more.
fn warnings(source: &Source, mut findings: Findings) -> Result<Findings> {
    findings.sort_by_key(|finding| finding.span.start);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.is_error);
    if !errors.is_empty() {
        return Err(Diagnostics::new(source, &errors).into());
    }
    Ok(warnings)
}

fn assemble(file: File, findings: &mut Findings) -> Config {
    validate::unused(&file, findings);
    let defaults = validate::defaults(&file.defaults, findings);
    Config {
        interfaces: validate::interfaces(&file.interfaces, findings),
        xdp_mode: file.xdp_mode,
        bpffs: file.bpffs,
        snat_ports: validate::snat_ports(file.snat_ports.as_ref(), findings),
        snat_addresses: validate::snat_addresses(&file.snat_addresses, findings),
        limits: validate::limits(&file.limits, findings),
        services: validate::services(&defaults, &file.service, findings),
        defaults,
        state_dir: file.state_dir,
        api: Api { socket: file.api.socket },
    }
}

fn spans(file: &File) -> Spans {
    let backends = file
        .service
        .iter()
        .map(|service| service.backend.iter().map(|backend| backend.address.span()).collect());
    Spans {
        interfaces: file.interfaces.get_ref().iter().map(serde_spanned::Spanned::span).collect(),
        backends: backends.collect(),
    }
}
