//! Programs that run with fewer rights than the daemon.

#![expect(unsafe_code, reason = "the caller is responsible for the code between fork and exec")]

use std::{io, os::unix::process::CommandExt as _, process::Command};

use libc::c_int;
use nix::{
    sys::{prctl, signal::Signal},
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};

use crate::accounts::Account;

/// Version of the capset(2) interface with 64 capabilities, in two words.
const CAPABILITIES: u32 = 0x2008_0522;

/// Header of capset(2).
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: c_int,
}

/// Effective, permitted and inheritable capabilities of capset(2), per word.
type CapabilityData = [[u32; 3]; 2];

/// Makes a command run as another user: without supplementary groups, capabilities, a way to gain
/// any, or the daemon's open files; and killed with the daemon.
pub fn confine(command: &mut Command, account: Account) -> &mut Command {
    let confined = move || {
        // First, as it needs root.
        drop_bounding_capabilities();
        set_account(account)?;
        clear_ambient_capabilities()?;
        clear_capabilities()?;
        prctl::set_no_new_privs()?;
        // Last, as changing credentials resets it.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        close_files()
    };
    // SAFETY: makes only system calls, without locking or allocating.
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

/// Empties the bounding set. Without `CAP_SETPCAP`, as in the systemd unit, it stays as the unit
/// restricts it: with `no_new_privs`, a program cannot gain anything from it.
fn drop_bounding_capabilities() {
    let is_dropped = |capability: libc::c_ulong| {
        // SAFETY: this prctl(2) takes no pointers.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) == 0 }
    };
    (0..64).take_while(|capability| is_dropped(*capability)).for_each(drop);
}

/// Clears the capabilities: inheritable ones survive a change of user and exec.
fn clear_capabilities() -> io::Result<()> {
    let header = CapabilityHeader { version: CAPABILITIES, pid: 0 };
    let none: CapabilityData = [[0; 3]; 2];
    // SAFETY: both have the layout of this version of capset(2), and live until it returns.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    check(c_int::try_from(result).unwrap_or(-1))
}

/// Marks all files but stdin, stdout and stderr close-on-exec: the standard library needs one until
/// then.
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
