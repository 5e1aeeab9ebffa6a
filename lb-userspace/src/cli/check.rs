//! `check`: is this configuration good?

use std::{path::Path, process::ExitCode, thread};

use lb_common::table::table_bytes;
use nix::net::if_::if_nametoindex;

use super::{
    exit::{Failure, PROBLEMS},
    output::{print_error, print_line},
};
use crate::{
    config::{self, Loaded, reference},
    dataplane::{map_bytes, megabytes},
    neighbours,
};
use lb_host::{listeners::Listeners, local_ports::LocalPorts};

/// Warnings are no failure, unless that is wanted.
pub(super) fn check(file: &Path, is_strict: bool) -> Result<ExitCode, Failure> {
    let loaded = config::load(file)?;
    let mut warnings = loaded.warnings.clone();
    warnings.extend(loaded.check_host()?);
    for warning in &warnings {
        print_error(warning);
    }
    refuse_local_ports(&loaded)?;
    let has_warnings = warn_of_listeners(&loaded) || !warnings.is_empty();
    warn_of_unrouted(&loaded);
    let services = &loaded.config.services;
    let backends: usize = services.iter().map(|service| service.backends.len()).sum();
    let file = loaded.path().to_owned();
    print_line(&format!("{file}: {} services, {backends} backends", services.len()))?;
    let flows = loaded.config.limits.flows;
    let size = megabytes(table_bytes(flows));
    print_line(&format!("flow table: {flows} connections, {size} MB"))?;
    let cpus = std::thread::available_parallelism()?.get() as u64;
    let limits = &loaded.config.limits;
    let size = megabytes(map_bytes(limits, cpus));
    let (services, backends) = (limits.services, limits.backends);
    print_line(&format!("maps: {services} services, {backends} backends, {size} MB"))?;
    Ok(if is_strict && has_warnings { ExitCode::from(PROBLEMS) } else { ExitCode::SUCCESS })
}

/// Refuses source ports that this host gives to its own connections, too.
fn refuse_local_ports(loaded: &Loaded) -> Result<(), Failure> {
    let clash = match LocalPorts::read() {
        Ok(ports) => ports.clash(&loaded.config.snat_ports),
        Err(error) => {
            print_error(format_args!("xdplb: `snat_ports` was not compared: {error:#}"));
            None
        }
    };
    let faults = clash.map(|clash| loaded.snat_ports_fault(&clash.message, &clash.fix));
    Ok(loaded.refuse(faults.into_iter().collect())?)
}

/// Warns of servers on this host that listen where clients of services connect to. Returns whether one
/// has the very address and port of a service, which a running daemon does not take from it.
fn warn_of_listeners(loaded: &Loaded) -> bool {
    let vips = loaded.config.services.iter().map(|service| service.vip.address);
    let listeners = Listeners::read(vips).unwrap_or_else(|error| {
        print_error(format_args!("xdplb: `vip` was not compared: {error:#}"));
        Listeners::default()
    });
    let mut is_taken = false;
    for (place, service) in loaded.config.services.iter().enumerate() {
        let Some(found) = listeners.find(service.vip.address) else { continue };
        is_taken |= found.is_exact;
        loaded.vip_warning(place, &found.message, found.fix).iter().for_each(print_error);
    }
    is_taken
}

/// Warns of VIPs that no interface of this host has, and that no route leads here. Those of another
/// host, as a CI's, are no fault of the file.
fn warn_of_unrouted(loaded: &Loaded) {
    let is_here = |name: &String| if_nametoindex(name.as_str()).is_ok();
    if !loaded.config.interfaces.iter().all(is_here) {
        return;
    }
    let vips: Vec<_> = loaded.config.services.iter().map(|one| one.vip.address.ip()).collect();
    let looked = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(neighbours::unrouted(vips))
    });
    let Ok(Ok(unrouted)) = looked.join() else { return };
    for (place, service) in loaded.config.services.iter().enumerate() {
        let address = service.vip.address.ip();
        if unrouted.contains(&address) {
            let (message, fix) = neighbours::unrouted_message(address);
            loaded.vip_warning(place, &message, &fix).iter().for_each(print_error);
        }
    }
}

pub(super) fn schema() -> Result<ExitCode, Failure> {
    print_line(&format!("{:#}", reference::schema()?))?;
    Ok(ExitCode::SUCCESS)
}
