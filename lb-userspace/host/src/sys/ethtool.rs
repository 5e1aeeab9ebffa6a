//! The ioctl of ethtool.

#![expect(unsafe_code, reason = "SIOCETHTOOL is a raw ioctl")]

use std::{ffi::c_char, io, os::fd::AsRawFd as _};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `ETHTOOL_GDRVINFO` of `linux/ethtool.h`.
const GET_DRIVER: u32 = 0x03;

/// `ETHTOOL_STXCSUM` of `linux/ethtool.h`.
const SET_TX_CHECKSUM: u32 = 0x17;

/// `ETHTOOL_GRXFHINDIR` of `linux/ethtool.h`.
const GET_RECEIVE_TABLE: u32 = 0x38;

/// `struct ethtool_value` of `linux/ethtool.h`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// `struct ethtool_drvinfo` of `linux/ethtool.h`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    name: [u8; 32],
    /// Versions, names and sizes.
    others: [u8; 160],
}

/// Returns the name of the driver of an interface in the calling thread's network namespace.
///
/// # Errors
///
/// `ENODEV` if there is no such interface, `EOPNOTSUPP` if its driver does not say.
pub fn driver(interface: &str) -> io::Result<String> {
    let mut info = DriverInfo { command: GET_DRIVER, name: [0; 32], others: [0; 160] };
    // SAFETY: the data of this command is a `struct ethtool_drvinfo`.
    unsafe { request(interface, (&raw mut info).cast()) }?;
    let name = info.name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

/// Returns the receive queues that hashes of packets select from (RSS).
///
/// # Errors
///
/// Like [`driver`].
pub fn receive_table(interface: &str) -> io::Result<Vec<u32>> {
    // `struct ethtool_rxfh_indir`: command and size, then as many queues.
    let mut head = [GET_RECEIVE_TABLE, 0];
    // SAFETY: if the size is 0, the kernel writes nothing but the actual size.
    unsafe { request(interface, head.as_mut_ptr().cast()) }?;
    let size = usize::try_from(head[1]).map_err(io::Error::other)?;
    let mut table = head.to_vec();
    table.resize(2 + size, 0);
    // SAFETY: there is room for as many queues as the size says; the kernel refuses another size.
    unsafe { request(interface, table.as_mut_ptr().cast()) }?;
    Ok(table.split_off(2))
}

/// Makes the kernel compute the checksums of packets sent on an interface of the calling thread's
/// network namespace.
///
/// # Errors
///
/// `ENODEV` if there is no such interface, `EOPNOTSUPP` if its driver has no such switch.
pub fn disable_tx_checksum(interface: &str) -> io::Result<()> {
    let mut value = Value { command: SET_TX_CHECKSUM, data: 0 };
    // SAFETY: the data of this command is a `struct ethtool_value`.
    unsafe { request(interface, (&raw mut value).cast()) }
}

/// # Safety
///
/// `data` must point to the structure of its command.
unsafe fn request(interface: &str, data: *mut c_char) -> io::Result<()> {
    let request = libc::ifreq {
        ifr_name: interface_name(interface)?,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data },
    };
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: the name ends in a NUL; the caller guarantees the rest.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw const request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn interface_name(name: &str) -> io::Result<[c_char; libc::IFNAMSIZ]> {
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut field = [0; libc::IFNAMSIZ];
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    Ok(field)
}
