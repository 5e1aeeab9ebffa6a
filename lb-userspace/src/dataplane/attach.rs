//! Attachment of the program to interfaces.

use std::{io, path::Path};

use anyhow::{Context as _, Result, bail};
use aya::{
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::XdpLink,
    },
    sys::SyscallError,
};

use super::pins::unpin;
use lb_host::sys;

/// Attaches the program to an interface and pins its link at `pin`.
pub fn attach(program: &mut Xdp, ifindex: u32, mode: XdpMode, pin: &Path) -> Result<()> {
    let id = program.attach_to_if_index(ifindex, mode).map_err(explain)?;
    let link: Result<FdLink, _> = program.take_link(id)?.try_into();
    let Ok(link) = link else {
        bail!("this kernel cannot attach XDP programs by links: xdplb needs Linux 5.18 or later")
    };
    link.pin(pin).with_context(|| format!("cannot pin the link at {}", pin.display()))?;
    Ok(())
}

/// Replaces the program of the link pinned at `pin`, atomically. Without such a link, or if its
/// interface is gone, returns false and leaves no pin.
pub fn replace(program: &mut Xdp, pin: &Path) -> Result<bool> {
    if !pin.exists() {
        return Ok(false);
    }
    let pinned = PinnedLink::from_pin(pin)
        .with_context(|| format!("cannot open the pinned link {}", pin.display()))?;
    let link = XdpLink::try_from(FdLink::from(pinned))
        .with_context(|| format!("{} is not a link of an XDP program", pin.display()))?;
    match program.attach_to_link(link) {
        Ok(id) => {
            drop(program.take_link(id)?);
            Ok(true)
        }
        Err(error) if os_error(&error) == Some(libc::ENOLINK) => {
            remove(pin)?;
            Ok(false)
        }
        Err(error) => Err(error).context("cannot replace the program of the pinned link"),
    }
}

/// Detaches the program of the link pinned at `pin`.
pub fn remove(pin: &Path) -> Result<()> {
    sys::bpf::detach_pinned(pin).with_context(|| format!("cannot detach {}", pin.display()))?;
    unpin(pin)
}

fn explain(error: ProgramError) -> anyhow::Error {
    let hint = match os_error(&error) {
        Some(libc::EBUSY | libc::EEXIST) => "another XDP program is already attached",
        Some(libc::EOPNOTSUPP) => "the driver does not support this XDP mode",
        Some(libc::ERANGE) => "the MTU is too large for XDP on this driver",
        Some(libc::EPERM) => "not permitted: CAP_BPF and CAP_NET_ADMIN are needed",
        _ => return error.into(),
    };
    anyhow::Error::from(error).context(hint)
}

pub(super) fn os_error(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(SyscallError { io_error, .. }) => {
            io::Error::raw_os_error(io_error)
        }
        _ => None,
    }
}
