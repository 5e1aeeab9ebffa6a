//! The state of the host's clock.

#![expect(unsafe_code, reason = "no library wraps adjtimex(2)")]

use std::{io, mem};

/// Returns true if something like NTP keeps the clock right.
pub fn is_synchronised() -> io::Result<bool> {
    // SAFETY: the structure is of plain numbers.
    let mut request: libc::timex = unsafe { mem::zeroed() };
    // SAFETY: a request without modes only reads, into a structure that outlives the call.
    match unsafe { libc::adjtimex(&raw mut request) } {
        -1 => Err(io::Error::last_os_error()),
        state => Ok(state != libc::TIME_ERROR),
    }
}
