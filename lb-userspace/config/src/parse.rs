//! Parsing of a configuration.

use std::ops::Range;

use anyhow::{Context as _, Result};
use lb_model::{DEFAULT_SOCKET, KeyFault, Keys, Policy, Service};
use serde_json::Value;

use super::{
    Api, Config, Diagnostics, Digests, Keyed, Loaded, Source, Spans,
    diagnostics::{Diagnostic, Findings},
    located::Located,
    origins::Given,
    pointer,
    schema::{self, File},
    structure, validate,
};

const DEFAULT_BPFFS: &str = "/sys/fs/bpf";
const DEFAULT_STATE_DIR: &str = "/var/lib/xdplb";

pub(super) fn parse(source: Source) -> Result<Loaded> {
    let mut findings = Findings::default();
    let file: Option<Located<File>> = structure::read(&source.text, &mut findings);
    let read = file.map(|file| (spans(&file), assemble(&file, &mut findings)));
    let digests = Digests::of(&source.text);
    let source = source.shown();
    let warnings = warnings(&source, findings)?;
    let warnings = Diagnostics::each(&source, &warnings);
    let (spans, config) = read.context("the file cannot be read")?;
    Ok(Loaded { config, warnings, digests, is_roots: false, is_sent: true, source, spans })
}

/// Parses one service from its keys, like those of a file.
pub(super) fn service(name: &str, keys: &Keys, base: &Policy) -> Result<Service> {
    let mut keys = keys.clone();
    keys.insert("name".to_owned(), name.into());
    if let Some(fault) = unwritable(&mut Vec::new(), &Value::Object(keys.clone())) {
        return Err(fault.into());
    }
    let text = toml::to_string(&keys).context("these are not keys of a service")?;
    let source = Source { path: "service".to_owned(), text };
    let mut findings = Findings::default();
    let service: Option<Located<schema::Service>> = structure::read(&source.text, &mut findings);
    let parsed = service.and_then(|service| validate::service(&service, base, &mut findings));
    let is_cut_short = findings.is_cut_short;
    let (errors, _) = findings.into_errors_and_warnings();
    if !errors.is_empty() {
        let keys = pointer::faults(&source.text, &errors);
        let shown = source.shown();
        return Err(Diagnostics::new(&shown, &errors, is_cut_short).with_keys(keys).into());
    }
    parsed.context("the service has no VIP")
}

/// Returns the first value that TOML cannot express.
fn unwritable(path: &mut Vec<String>, value: &Value) -> Option<KeyFault> {
    let mut within = |key: String, value: &Value| {
        path.push(key);
        let found = unwritable(path, value);
        path.pop();
        found
    };
    match value {
        Value::Array(values) => {
            let mut values = values.iter().enumerate();
            values.find_map(|(nth, value)| within(nth.to_string(), value))
        }
        Value::Object(values) => values.iter().find_map(|(key, one)| within(key.clone(), one)),
        Value::Null => Some(KeyFault::at(path, "it cannot be null: omit it")),
        Value::Number(number) if number.as_u64().is_some_and(|one| i64::try_from(one).is_err()) => {
            Some(KeyFault::at(path, format!("{number} is too large: give a smaller number")))
        }
        _ => None,
    }
}

/// Returns the warnings, or an error if there are errors.
fn warnings(source: &Source, findings: Findings) -> Result<Vec<Diagnostic>> {
    let is_cut_short = findings.is_cut_short;
    let (errors, warnings) = findings.into_errors_and_warnings();
    if !errors.is_empty() {
        return Err(Diagnostics::new(source, &errors, is_cut_short).into());
    }
    Ok(warnings)
}

fn assemble(file: &Located<File>, findings: &mut Findings) -> Config {
    let place = file.span();
    let file = file.get_ref();
    let defaults = validate::defaults(&file.defaults, findings);
    let services = validate::services(&defaults, &file.service, findings);
    let groups = validate::groups(&file.group, &file.snat_addresses, findings);
    // Otherwise it is not known which services are in the others.
    if groups.len() == file.group.len() {
        validate::refuse_ungrouped(&file.service, &services, &groups, findings);
    }
    Config {
        interfaces: validate::interfaces(file.interfaces.as_ref(), place, findings),
        xdp_mode: file.xdp_mode.as_ref().map(|mode| *mode.get_ref()).unwrap_or_default(),
        bpffs: validate::path(file.bpffs.as_ref(), DEFAULT_BPFFS, findings),
        snat_ports: validate::snat_ports(file.snat_ports.as_ref(), findings),
        snat_addresses: validate::snat_addresses(&file.snat_addresses, findings),
        limits: validate::limits(&file.limits, findings),
        checks: validate::checks(&file.checks, findings),
        notify: validate::notify(&file.notify, &file.service, findings),
        connection_log: validate::connection_log(
            file.connection_log.as_ref(),
            &file.service,
            findings,
        ),
        services,
        pair: validate::pair(&file.pair, findings),
        groups,
        defaults,
        given: Given::of(file),
        state_dir: validate::path(file.state_dir.as_ref(), DEFAULT_STATE_DIR, findings),
        api: Api {
            socket: validate::path(file.api.socket.as_ref(), DEFAULT_SOCKET, findings),
            http: validate::http(&file.api, findings),
            http_token: validate::http_token(&file.api, findings),
        },
    }
}

fn spans(file: &Located<File>) -> Spans {
    let file = file.get_ref();
    let services = file.service.iter();
    let vip = |service: &Located<schema::Service>| {
        service.get_ref().vip.as_ref().map_or(service.span(), |vip| vip.span())
    };
    let backends = |service: &schema::Service| {
        service
            .backend
            .iter()
            .map(|one| one.get_ref().address.as_ref().map_or(one.span(), |address| address.span()))
            .collect()
    };
    Spans {
        tls_directories: file
            .checks
            .tls_directories
            .iter()
            .flat_map(|list| list.get_ref())
            .map(|one| one.span())
            .collect(),
        settings: settings(file),
        snat_addresses: file.snat_addresses.iter().map(|one| one.span()).collect(),
        vips: services.clone().map(vip).collect(),
        interfaces: file
            .interfaces
            .iter()
            .flat_map(|names| names.get_ref())
            .map(|name| name.span())
            .collect(),
        notify: file.notify.iter().map(place_of_recipient).collect(),
        backends: file.service.iter().map(|service| backends(service.get_ref())).collect(),
        default_check: validate::keys_of(&file.defaults.health),
        checks: services.map(|service| validate::keys_of(&service.get_ref().health)).collect(),
    }
}

/// Returns the spans of the daemon's settings that are set.
fn settings(file: &File) -> Keyed {
    fn of<T>(
        key: &'static str,
        value: Option<&Located<T>>,
    ) -> Option<(&'static str, Range<usize>)> {
        value.map(|value| (key, value.span()))
    }
    let (limits, checks) = (&file.limits, &file.checks);
    let log = file.connection_log.as_ref().map(|log| log.get_ref());
    let keys = [
        of("interfaces", file.interfaces.as_ref()),
        of("xdp_mode", file.xdp_mode.as_ref()),
        of("bpffs", file.bpffs.as_ref()),
        of("snat_ports", file.snat_ports.as_ref()),
        of("snat_addresses", file.snat_addresses.first()),
        of("pair.lease", file.pair.lease.as_ref()),
        of("group", file.group.first()),
        of("state_dir", file.state_dir.as_ref()),
        of("api.socket", file.api.socket.as_ref()),
        of("api.http", file.api.http.as_ref()),
        of("api.http_token", file.api.http_token.as_ref()),
        of("limits.flows", limits.flows.as_ref()),
        of("limits.services", limits.services.as_ref()),
        of("limits.backends", limits.backends.as_ref()),
        of("limits.resets", limits.resets.as_ref()),
        of("limits.accounting", limits.accounting.as_ref()),
        of("checks.user", checks.user.as_ref()),
        of("checks.tls_directories", checks.tls_directories.as_ref()),
        of("notify", file.notify.first()),
        of("connection_log", file.connection_log.as_ref()),
        of("connection_log.to", log.and_then(|log| log.to.as_ref())),
        of("connection_log.format", log.and_then(|log| log.format.as_ref())),
        of("connection_log.services", log.and_then(|log| log.services.as_ref())),
        of("connection_log.unfinished", log.and_then(|log| log.unfinished.as_ref())),
        of("connection_log.per_second", log.and_then(|log| log.per_second.as_ref())),
    ];
    keys.into_iter().flatten().collect()
}

fn place_of_recipient(table: &Located<schema::Notify>) -> Range<usize> {
    let said = table.get_ref();
    let program = said.program.as_ref().map(|program| program.span());
    program.or_else(|| said.url.as_ref().map(|url| url.span())).unwrap_or(table.span())
}
