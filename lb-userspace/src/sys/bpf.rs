//! bpf(2), where aya has no name for what it can do.

#![expect(unsafe_code, reason = "bpf(2) takes a command and a structure of that command's own")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use libc::{c_int, c_long};

/// Of `enum bpf_cmd` of `linux/bpf.h`.
const OBJ_GET: c_int = 7;
const LINK_DETACH: c_int = 34;

/// Of `union bpf_attr`: what `BPF_OBJ_GET` takes.
#[repr(C)]
struct ObjGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Of `union bpf_attr`: what `BPF_LINK_DETACH` takes.
#[repr(C)]
struct LinkDetach {
    link_fd: RawFd,
}

/// Detaches the program of a pinned link. It does not run any more when this returns, as it may for
/// a while when only the pin is removed.
pub(crate) fn detach_pinned(pin: &Path) -> io::Result<()> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let get = ObjGet { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: the path outlives the call and ends in a NUL.
    let link = unsafe { bpf(OBJ_GET, &get) }?;
    let link = RawFd::try_from(link).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    // SAFETY: the structure holds no pointers.
    unsafe { bpf(LINK_DETACH, &LinkDetach { link_fd: link.as_raw_fd() }) }?;
    Ok(())
}

/// # Safety
///
/// The structure is the command's, and what it points to is valid for the call.
unsafe fn bpf<T>(command: c_int, attributes: &T) -> io::Result<c_long> {
    // SAFETY: the attributes are as long as is said; the rest is the caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
