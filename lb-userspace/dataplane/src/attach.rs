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
use nix::net::if_::if_indextoname;

use super::pins::unpin;
use lb_host::{printable, sys};

/// Attaches the program to an interface and pins its link at `pin`.
pub fn attach(program: &mut Xdp, ifindex: u32, mode: XdpMode, pin: &Path) -> Result<()> {
    let id =
        program.attach_to_if_index(ifindex, mode).map_err(|error| explain(error, ifindex, mode))?;
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

/// Adds the likely cause and its fix to an error of attaching to an interface. The kernel gives its own
/// reason to tracers only.
fn explain(error: ProgramError, ifindex: u32, mode: XdpMode) -> anyhow::Error {
    let name = if_indextoname(ifindex).ok().and_then(|name| name.into_string().ok());
    let name = name.unwrap_or_else(|| "NAME".to_owned());
    let hint = os_error(&error).and_then(|code| hint(code, mode, &name));
    match hint {
        Some(hint) => anyhow::Error::from(error).context(hint),
        None => error.into(),
    }
}

/// Returns the likely cause of an error number, and its fix.
fn hint(code: i32, mode: XdpMode, name: &str) -> Option<String> {
    if let Some(hint) = hint_in_any_mode(code, name) {
        return Some(hint);
    }
    if mode == XdpMode::Driver { native_hint(code, name) } else { None }
}

fn hint_in_any_mode(code: i32, name: &str) -> Option<String> {
    Some(match code {
        libc::EBUSY | libc::EEXIST => format!(
            "another XDP program is attached already, to {name} or to the bond or team that it is a \
             port of: `bpftool net` lists it; detach it, or stop the program that attached it"
        ),
        libc::EPERM => "not permitted: CAP_BPF and CAP_NET_ADMIN are needed".to_owned(),
        libc::ENODEV => format!("{name} is gone"),
        libc::E2BIG => {
            "this kernel does not know links of XDP programs: Linux 5.18 or later is needed"
                .to_owned()
        }
        _ => return None,
    })
}

/// Returns the reason why a driver refuses native mode: by the errors of veth and `virtio_net`, and
/// the usual ones of other drivers.
fn native_hint(code: i32, name: &str) -> Option<String> {
    let word = printable::word(name);
    Some(match code {
        libc::EOPNOTSUPP | ENOTSUPP => format!(
            "the driver has no native XDP, or not beside the offloads in use: switch them off by \
             `ethtool -K {word} lro off rx-gro-hw off`; for virtio_net the hypervisor must offer \
             ctrl_guest_offloads, or none of guest_csum, guest_tso4, guest_tso6, guest_ecn and \
             guest_ufo"
        ),
        libc::EINVAL => format!(
            "the driver cannot run XDP with these settings: usually the MTU is too large (`ip link \
             set dev {word} mtu 1500`), LRO is on (`ethtool -K {word} lro off`), or more than half \
             of the channels are in use (`ethtool -l {word}`, `ethtool -L {word} combined N`)"
        ),
        libc::ERANGE => format!(
            "the MTU is too large for native XDP, on veth that of the peer: `ip link set dev {word} \
             mtu 1500`"
        ),
        libc::ENOSPC => format!(
            "{name} has too few receive queues for native XDP, on veth fewer than its peer has \
             transmit queues: `ethtool -L {word} rx N`, or `ethtool -L PEER tx N`"
        ),
        libc::ENOTCONN => format!("{name} is a veth without a peer: create the pair again"),
        libc::ENOMEM => format!(
            "the driver has no memory or no queues left for native XDP: use fewer channels \
             (`ethtool -L {word} combined N`) or smaller rings (`ethtool -G {word} rx N`)"
        ),
        libc::ENETDOWN => format!("the driver needs the link up: `ip link set dev {word} up`"),
        _ => return None,
    })
}

/// `EOPNOTSUPP` of drivers that return the kernel's internal number.
const ENOTSUPP: i32 = 524;

pub(super) fn os_error(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(SyscallError { io_error, .. }) => {
            io::Error::raw_os_error(io_error)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_a_driver_has_its_cause_and_fix() {
        for (code, cause, fix) in [
            (libc::EBUSY, "another XDP program is attached already", "`bpftool net`"),
            (libc::EEXIST, "another XDP program is attached already", "`bpftool net`"),
            (libc::EOPNOTSUPP, "no native XDP", "ctrl_guest_offloads"),
            (ENOTSUPP, "no native XDP", "ctrl_guest_offloads"),
            (libc::EINVAL, "the MTU is too large", "`ethtool -K NAME lro off`"),
            (libc::ERANGE, "the MTU is too large", "`ip link set dev NAME mtu 1500`"),
            (libc::ENOSPC, "too few receive queues", "`ethtool -L NAME rx N`"),
            (libc::ENOTCONN, "a veth without a peer", "create the pair again"),
            (libc::ENOMEM, "no queues left", "`ethtool -L NAME combined N`"),
            (libc::ENETDOWN, "needs the link up", "`ip link set dev NAME up`"),
            (libc::E2BIG, "does not know links", "Linux 5.18"),
            (libc::ENODEV, "NAME is gone", ""),
            (libc::EPERM, "not permitted", "CAP_NET_ADMIN"),
        ] {
            let said = hint(code, XdpMode::Driver, "NAME").expect(cause);
            assert!(said.contains(cause) && said.contains(fix), "{code}: {said}");
        }
    }

    #[test]
    fn errors_of_drivers_do_not_explain_generic_mode() {
        assert_eq!(hint(libc::EINVAL, XdpMode::Skb, "NAME"), None);
        let said = hint(libc::EBUSY, XdpMode::Skb, "NAME").expect("known");
        assert!(said.contains("another XDP program"), "{said}");
    }
}
