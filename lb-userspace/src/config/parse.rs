//! From text to a configuration.

use anyhow::Result;

use super::{
    Api, Config, Diagnostics, Limits, Loaded, Source, Spans,
    diagnostics::Diagnostic,
    schema::File,
    validate::{self, Findings},
};

pub(super) fn parse(source: Source) -> Result<Loaded> {
    let file: File = match toml::from_str(&source.text) {
        Ok(file) => file,
        Err(error) => {
            let span = error.span().unwrap_or_default();
            let diagnostic = Diagnostic::error(span, error.message(), "");
            return Err(Diagnostics::new(&source, &[diagnostic]).into());
        }
    };
    let mut findings = Findings::default();
    let spans = spans(&file);
    let config = assemble(file, &mut findings);
    findings.sort_by_key(|finding| finding.span.start);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.is_error);
    if !errors.is_empty() {
        return Err(Diagnostics::new(&source, &errors).into());
    }
    let warnings =
        warnings.into_iter().map(|warning| Diagnostics::new(&source, &[warning])).collect();
    Ok(Loaded { config, warnings, source, spans })
}

fn assemble(file: File, findings: &mut Findings) -> Config {
    validate::unused(&file, findings);
    Config {
        interfaces: validate::interfaces(&file.interfaces, findings),
        xdp_mode: file.xdp_mode,
        bpffs: file.bpffs,
        snat_ports: validate::snat_ports(file.snat_ports.as_ref(), findings),
        snat_addresses: validate::snat_addresses(&file.snat_addresses, findings),
        limits: Limits { flows: validate::flows(file.limits.flows.as_ref(), findings) },
        services: validate::services(&file.defaults, &file.service, findings),
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
