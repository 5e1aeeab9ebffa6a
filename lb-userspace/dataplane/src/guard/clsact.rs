//! The guard as a filter of a clsact qdisc, before Linux 6.6.
//!
//! The filter stays when the daemon ends, and is identified by its priority and handle. Other
//! filters are left alone, as is the qdisc, which others may use.

use std::{mem, path::Path};

use anyhow::{Context as _, Result};
use aya::programs::{
    Link as _, ProgramError, SchedClassifier, TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact},
};

use lb_host::printable;

use super::{super::pins::unpin, Present, name};

/// Early in the order, and unlikely to be used by others.
pub const PRIORITY: u16 = 7;
/// `xdpl`.
pub const HANDLE: TcHandle = TcHandle::new(0x7864, 0x706c);

/// Attaches the guard to an interface, replacing an existing one atomically. Pins its program at
/// `pin`, by which it is found for removal.
pub(super) fn attach(
    program: &mut SchedClassifier,
    ifindex: u32,
    pin: &Path,
    present: Present,
) -> Result<()> {
    let name = name(ifindex)?;
    let is_new = create(program, &name)?;
    if !is_new && present == Present::Stays {
        return Ok(());
    }
    if !is_new {
        replace(program, &name)?;
    }
    if pin.exists() {
        unpin(pin)?;
    }
    program.pin(pin).with_context(|| format!("cannot pin the host guard at {}", pin.display()))
}

/// Creates the filter; returns false if ours exists.
fn create(program: &mut SchedClassifier, name: &str) -> Result<bool> {
    add_qdisc(name)?;
    let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
    let options = TcAttachOptions::Netlink(options);
    match program.attach_with_options(name, TcAttachType::Ingress, options) {
        Ok(id) => {
            keep(program.take_link(id)?);
            Ok(true)
        }
        Err(error) if code(&error) == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot add the host guard to {name} as a tc filter of priority {PRIORITY}: `tc \
                 filter show dev {} ingress` lists the existing ones",
                printable::word(name)
            )
        }),
    }
}

fn replace(program: &mut SchedClassifier, name: &str) -> Result<()> {
    let id = program
        .attach_to_link(filter(name)?)
        .with_context(|| format!("cannot replace the host guard of {name}"))?;
    keep(program.take_link(id)?);
    Ok(())
}

/// Detaches the guard from an interface if a program is pinned at `pin`.
pub(super) fn remove(pin: &Path, ifindex: u32) -> Result<()> {
    if !pin.exists() {
        return Ok(());
    }
    // An interface that is gone has no filter.
    if let Ok(name) = name(ifindex) {
        match filter(&name)?.detach() {
            Err(error) if !is_missing(&error) => {
                return Err(error)
                    .with_context(|| format!("cannot remove the host guard from {name}"));
            }
            _ => {}
        }
    }
    unpin(pin)
}

fn add_qdisc(name: &str) -> Result<()> {
    match qdisc_add_clsact(name) {
        Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        added => added.with_context(|| format!("cannot add a clsact qdisc to {name}")),
    }
}

fn filter(name: &str) -> Result<SchedClassifierLink> {
    SchedClassifierLink::attached(name, TcAttachType::Ingress, PRIORITY, HANDLE, None)
        .with_context(|| format!("there is no interface {name}"))
}

/// Keeps the filter, which aya would detach on drop.
fn keep(link: SchedClassifierLink) {
    mem::forget(link);
}

/// Returns true if the filter does not exist: EINVAL without a qdisc, ENOENT without the filter.
fn is_missing(error: &ProgramError) -> bool {
    matches!(code(error), Some(libc::EINVAL | libc::ENOENT | libc::ENODEV))
}

fn code(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::NetlinkError(error) | ProgramError::TcError(TcError::NetlinkError(error)) => {
            error.raw_os_error()
        }
        _ => None,
    }
}
