//! Programs that run with less than the daemon has.

#![expect(
    unsafe_code,
    reason = "what happens between fork and exec is for the caller to vouch for"
)]

use std::{io, os::unix::process::CommandExt as _, process::Command};

use libc::c_int;
use nix::{
    sys::{prctl, signal::Signal},
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};

use crate::accounts::Account;

/// The version of capset(2) that has 64 capabilities, in two words.
const CAPABILITIES: u32 = 0x2008_0522;

/// For capset(2).
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

/// Effective, permitted and inheritable ones, for capset(2).
type CapabilityData = [[u32; 3]; 2];

/// Has a command run as another user: without other groups, capabilities in any set, a chance of getting
/// any, or files that the daemon has open; and killed with the daemon.
pub fn confine(command: &mut Command, account: Account) -> &mut Command {
    let confined = move || {
        // First, as it takes the rights of root.
        drop_bounding_capabilities();
        set_account(account)?;
        clear_ambient_capabilities()?;
        clear_capabilities()?;
        prctl::set_no_new_privs()?;
        // Last, as another user's credentials take it back.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        close_files()
    };
    // SAFETY: only system calls, none of which needs a lock or memory.
    unsafe { command.pre_exec(confined) }
}

fn set_account(Account { uid, gid }: Account) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    Ok(setresuid(uid, uid, uid)?)
}

fn clear_ambient_capabilities() -> io::Result<()> {
    // SAFETY: this prctl(2) takes no pointers.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })
}

/// Without `CAP_SETPCAP`, as in the systemd unit, the set stays as that has cut it: no program gains
/// anything of it that may not gain rights.
fn drop_bounding_capabilities() {
    let is_dropped = |capability: libc::c_ulong| {
        // SAFETY: this prctl(2) takes no pointers.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) == 0 }
    };
    (0..64).take_while(|capability| is_dropped(*capability)).for_each(drop);
}

/// Inheritable ones outlive another user's credentials, and exec.
fn clear_capabilities() -> io::Result<()> {
    let header = CapabilityHeader { version: CAPABILITIES, pid: 0 };
    let none: CapabilityData = [[0; 3]; 2];
    // SAFETY: both are as capset(2) has them for this version, and live until it returns.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    check(c_int::try_from(result).unwrap_or(-1))
}

/// Has all but input, output and errors closed at exec: the standard library has one open until then.
fn close_files() -> io::Result<()> {
    const FIRST: u32 = 3;
    const CLOEXEC: u32 = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: close_range(2) takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_close_range, FIRST, u32::MAX, CLOEXEC) };
    check(c_int::try_from(result).unwrap_or(-1))
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
