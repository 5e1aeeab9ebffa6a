//! The guard as a pinned TCX link, on Linux 6.6 or later.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::{FdLink, PinnedLink},
    tc::{SchedClassifierLink, TcAttachOptions},
};

use super::name;
use crate::attach;

/// Attaches the guard to an interface, replacing the one of the link pinned at `pin`, if any,
/// atomically. Returns false if the kernel has no TCX.
pub(super) fn attach(program: &mut SchedClassifier, ifindex: u32, pin: &Path) -> Result<bool> {
    if replace(program, pin)? {
        return Ok(true);
    }
    let name = name(ifindex)?;
    // Before other programs, which may end the processing of a packet in tc.
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = match program.attach_with_options(&name, TcAttachType::Ingress, order) {
        Err(error) if attach::os_error(&error) == Some(libc::EINVAL) => return Ok(false),
        attached => attached.with_context(|| format!("cannot attach the host guard to {name}"))?,
    };
    let link: FdLink = program.take_link(id)?.try_into()?;
    link.pin(pin).with_context(|| format!("cannot pin the link at {}", pin.display()))?;
    Ok(true)
}

/// Replaces the program of a pinned link. Without a link whose interface exists, returns false and
/// leaves no pin.
fn replace(program: &mut SchedClassifier, pin: &Path) -> Result<bool> {
    if !pin.exists() {
        return Ok(false);
    }
    let pinned = PinnedLink::from_pin(pin)
        .with_context(|| format!("cannot open the pinned link {}", pin.display()))?;
    let link = SchedClassifierLink::try_from(FdLink::from(pinned))
        .with_context(|| format!("{} is not a link of a tc program", pin.display()))?;
    let replaced: Result<_, ProgramError> = program.attach_to_link(link);
    match replaced {
        Ok(id) => {
            drop(program.take_link(id)?);
            Ok(true)
        }
        Err(error) if attach::os_error(&error) == Some(libc::ENOLINK) => {
            attach::remove(pin)?;
            Ok(false)
        }
        Err(error) => Err(error).context("cannot replace the host guard of the pinned link"),
    }
}

/// Detaches the guard of the link pinned at `pin`, if any.
pub(super) fn remove(pin: &Path) -> Result<()> {
    if pin.exists() { attach::remove(pin) } else { Ok(()) }
}
