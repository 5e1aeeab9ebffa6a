//! The guard by a pinned TCX link, from Linux 6.6 on.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::{FdLink, PinnedLink},
    tc::{SchedClassifierLink, TcAttachOptions},
};

use super::name;
use crate::dataplane::attach;

/// Puts the guard on an interface, in the place of the one whose link is pinned at `pin` if there is
/// one, which is atomic. Returns false if the kernel has no TCX.
pub(super) fn attach(program: &mut SchedClassifier, ifindex: u32, pin: &Path) -> Result<bool> {
    if replace(program, pin)? {
        return Ok(true);
    }
    let name = name(ifindex)?;
    // Before others, which may end the packet's way through tc.
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = match program.attach_with_options(&name, TcAttachType::Ingress, order) {
        Err(error) if attach::os_error(&error) == Some(libc::EINVAL) => return Ok(false),
        attached => attached.with_context(|| format!("cannot attach the host guard to {name}"))?,
    };
    let link: FdLink = program.take_link(id)?.try_into()?;
    link.pin(pin).with_context(|| format!("cannot pin the link at {}", pin.display()))?;
    Ok(true)
}

/// Without a link that is pinned and whose interface is there, returns false and leaves no pin.
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

/// Takes the guard off whose link is pinned at `pin`, if there is one.
pub(super) fn remove(pin: &Path) -> Result<()> {
    if pin.exists() { attach::remove(pin) } else { Ok(()) }
}
