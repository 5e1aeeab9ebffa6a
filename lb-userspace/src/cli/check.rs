//! `check`: validation of a configuration.

use std::{panic::resume_unwind, path::Path, process::ExitCode, thread};

use lb_config::{Diagnostics, Finding, Loaded, reference};
use lb_dataplane::{
    flow_bytes, map_bytes, megabytes,
    ring::{Excess, Need},
};
use nix::net::if_::if_nametoindex;
use serde::Serialize;

use super::{
    args::Output,
    exit::{self, Failure, INVALID, PROBLEMS},
    output::{count, print_error, print_json, print_line},
};
use lb_host::{listeners::Listeners, local_ports::LocalPorts};

/// JSON report of `check`.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    file: &'a str,
    findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sizes: Option<Sizes>,
}

/// Sizes of a valid configuration.
#[derive(Serialize)]
struct Sizes {
    services: usize,
    backends: usize,
    flow_table_bytes: u64,
    map_bytes: u64,
}

/// Checks a file. Warnings are failures only if `is_strict`.
pub(super) fn check(file: &Path, is_strict: bool, output: Output) -> Result<ExitCode, Failure> {
    let mut found = Warnings::default();
    let checked = inspect(file, &mut found);
    let mut printed = Ok(());
    if output.is_json() {
        printed = print_report(file, &checked, &found.all);
    } else {
        found.all.iter().for_each(print_error);
    }
    let loaded = match checked {
        Ok(loaded) => loaded,
        // The report contains the error.
        Err(error) if output.is_json() && error.is::<Diagnostics>() => {
            return exit::after(printed, INVALID);
        }
        Err(error) => return Err(error.into()),
    };
    if !output.is_json() {
        printed = print_sizes(&loaded);
    }
    exit::after(printed, if is_strict && found.is_strict { PROBLEMS } else { 0 })
}

#[derive(Default)]
struct Warnings {
    all: Vec<Diagnostics>,
    /// True if `--strict` fails because of one of them.
    is_strict: bool,
}

/// Reads a file and compares it with this host.
fn inspect(file: &Path, found: &mut Warnings) -> anyhow::Result<Loaded> {
    let loaded = lb_config::load(file)?;
    found.all.clone_from(&loaded.warnings);
    found.all.extend(loaded.check_host()?);
    found.is_strict = !found.all.is_empty();
    refuse_excess(&loaded)?;
    refuse_local_ports(&loaded)?;
    warn_of_listeners(&loaded, found);
    warn_of_unrouted(&loaded, found);
    found.all.extend(loaded.exposure_warning(file));
    Ok(loaded)
}

fn print_report(
    file: &Path,
    checked: &anyhow::Result<Loaded>,
    warnings: &[Diagnostics],
) -> Result<(), Failure> {
    let errors = checked.as_ref().err().and_then(|error| error.downcast_ref::<Diagnostics>());
    let findings = errors.into_iter().chain(warnings).flat_map(Diagnostics::findings);
    let sizes = checked.as_ref().ok().map(sizes).transpose()?;
    let file = lb_config::shown_path(file);
    let findings = findings.cloned().collect();
    print_json(&Report { valid: checked.is_ok(), file: &file, findings, sizes })?;
    Ok(())
}

fn sizes(loaded: &Loaded) -> anyhow::Result<Sizes> {
    let services = &loaded.config.services;
    let limits = &loaded.config.limits;
    let cpus = lb_dataplane::possible_cpus()?;
    Ok(Sizes {
        services: services.len(),
        backends: services.iter().map(|service| service.backends.len()).sum(),
        flow_table_bytes: flow_bytes(limits),
        map_bytes: map_bytes(limits, cpus.into()),
    })
}

fn print_sizes(loaded: &Loaded) -> Result<(), Failure> {
    let Sizes { services, backends, flow_table_bytes, map_bytes } = sizes(loaded)?;
    let (services, backends) = (count(services, "service"), count(backends, "backend"));
    print_line(&format!("{}: {services}, {backends}", loaded.path()))?;
    let limits = &loaded.config.limits;
    let size = megabytes(flow_table_bytes);
    let accounts = if limits.accounting { " with their accounts" } else { "" };
    print_line(&format!("flow table: {} connections, {size} MB{accounts}", limits.flows))?;
    let size = megabytes(map_bytes);
    let (services, backends) = (limits.services, limits.backends);
    print_line(&format!("maps: {services} services, {backends} backends, {size} MB"))?;
    Ok(())
}

/// Returns an error if the maps may have no room for the services.
fn refuse_excess(loaded: &Loaded) -> anyhow::Result<()> {
    let need: Need = loaded.config.services.iter().map(Need::of).sum();
    let excess = need.excess(Need::default(), &loaded.config.limits);
    let fault = excess.map(|Excess { key, message, fix }| loaded.limit_fault(key, &message, &fix));
    loaded.refuse(fault.into_iter().collect())
}

/// Returns an error if this host also uses the source ports for its own connections.
fn refuse_local_ports(loaded: &Loaded) -> anyhow::Result<()> {
    let clash = match LocalPorts::read() {
        Ok(ports) => ports.clash(&loaded.config.snat_ports),
        Err(error) => {
            print_error(format_args!(
                "xdplb: `snat_ports` was not checked against this host: {error:#}"
            ));
            None
        }
    };
    let faults = clash.map(|clash| loaded.snat_ports_fault(&clash.message, &clash.fix));
    loaded.refuse(faults.into_iter().collect())
}

/// Warns of servers on this host that listen on VIPs. A running daemon refuses a service whose
/// exact address and port are taken, so that `--strict` fails.
fn warn_of_listeners(loaded: &Loaded, warnings: &mut Warnings) {
    let vips = loaded.config.services.iter().map(|service| service.vip.address);
    let listeners = Listeners::read(vips).unwrap_or_else(|error| {
        print_error(format_args!("xdplb: `vip` was not checked against this host: {error:#}"));
        Listeners::default()
    });
    for (place, service) in loaded.config.services.iter().enumerate() {
        let Some(found) = listeners.find(service.vip.address) else { continue };
        warnings.is_strict |= found.is_exact;
        warnings.all.extend(loaded.vip_warning(place, &found.message, found.fix));
    }
}

/// Warns of VIPs that neither an interface nor a route brings to this host. `--strict` accepts
/// them, as the file may be for another host.
fn warn_of_unrouted(loaded: &Loaded, warnings: &mut Warnings) {
    let is_here = |name: &String| if_nametoindex(name.as_str()).is_ok();
    if !loaded.config.interfaces.iter().all(is_here) {
        return;
    }
    let vips: Vec<_> = loaded.config.services.iter().map(|one| one.vip.address.ip()).collect();
    let looked = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(lb_neighbours::unrouted(vips))
    });
    let unrouted = match looked.join().unwrap_or_else(|panic| resume_unwind(panic)) {
        Ok(unrouted) => unrouted,
        Err(error) => {
            print_error(format_args!("xdplb: no routes to VIPs were looked up: {error:#}"));
            return;
        }
    };
    for (place, service) in loaded.config.services.iter().enumerate() {
        let address = service.vip.address.ip();
        if unrouted.contains(&address) && !loaded.config.is_grouped(address) {
            let (message, fix) = lb_neighbours::unrouted_message(address);
            warnings.all.extend(loaded.vip_warning(place, &message, &fix));
        }
    }
}

pub(super) fn schema() -> Result<ExitCode, Failure> {
    print_line(&format!("{:#}", reference::schema()?))?;
    Ok(ExitCode::SUCCESS)
}
