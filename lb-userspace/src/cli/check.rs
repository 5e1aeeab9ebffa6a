//! `check`: is this configuration good?

use std::{path::Path, process::ExitCode};

use lb_common::table::table_bytes;

use super::{
    exit::{Failure, PROBLEMS},
    output::{print_error, print_line},
};
use crate::{
    config::{self, reference},
    dataplane::{map_bytes, megabytes},
};

pub(super) fn check(file: &Path) -> Result<ExitCode, Failure> {
    let loaded = config::load(file)?;
    loaded.check_files()?;
    for warning in &loaded.warnings {
        print_error(warning);
    }
    let services = &loaded.config.services;
    let backends: usize = services.iter().map(|service| service.backends.len()).sum();
    let file = file.display();
    print_line(&format!("{file}: {} services, {backends} backends", services.len()))?;
    let flows = loaded.config.limits.flows;
    let size = megabytes(table_bytes(flows));
    print_line(&format!("flow table: {flows} connections, {size} MB"))?;
    let cpus = std::thread::available_parallelism()?.get() as u64;
    let limits = &loaded.config.limits;
    let size = megabytes(map_bytes(limits, cpus));
    let (services, backends) = (limits.services, limits.backends);
    print_line(&format!("maps: {services} services, {backends} backends, {size} MB"))?;
    Ok(if loaded.warnings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
}

pub(super) fn schema() -> Result<ExitCode, Failure> {
    print_line(&format!("{:#}", reference::schema()?))?;
    Ok(ExitCode::SUCCESS)
}
