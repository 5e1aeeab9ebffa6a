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

/// Has a command run as another user: without other groups, capabilities, a chance of getting any,
/// or files that the daemon has open; and killed with the daemon.
pub(crate) fn confine(command: &mut Command, account: Account) -> &mut Command {
    let confined = move || {
        set_account(account)?;
        clear_ambient_capabilities()?;
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
