//! bpf(2) commands that aya does not wrap.

#![expect(unsafe_code, reason = "bpf(2) takes a command and a structure of that command's own")]

use std::{
    ffi::CString,
    io, iter,
    ops::Range,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use libc::{c_int, c_long};

/// From `enum bpf_cmd` of `linux/bpf.h`.
const OBJ_GET: c_int = 7;
const OBJ_GET_INFO_BY_FD: c_int = 15;
const MAP_LOOKUP_BATCH: c_int = 24;
const LINK_GET_FD_BY_ID: c_int = 30;
const LINK_GET_NEXT_ID: c_int = 31;
const LINK_DETACH: c_int = 34;

/// From `union bpf_attr`: arguments of `BPF_OBJ_GET`.
#[repr(C)]
struct ObjGet {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// From `union bpf_attr`: arguments of `BPF_LINK_DETACH`.
#[repr(C)]
struct LinkDetach {
    link_fd: RawFd,
}

/// From `union bpf_attr`: arguments of commands on ids.
#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// From `union bpf_attr`: arguments of `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct GetInfo {
    bpf_fd: RawFd,
    info_len: u32,
    info: u64,
}

/// From `union bpf_attr`: arguments of `BPF_MAP_LOOKUP_BATCH`.
#[repr(C)]
struct Lookup {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: RawFd,
    elem_flags: u64,
    flags: u64,
}

/// `struct bpf_link_info`: the part common to all links, and that of XDP links.
#[repr(C, align(8))]
#[derive(Default)]
struct Info {
    link_type: u32,
    id: u32,
    program_id: u32,
    padding: u32,
    ifindex: u32,
}

/// `BPF_LINK_TYPE_XDP` of `enum bpf_link_type`.
const XDP: u32 = 6;

/// Attachment of an XDP program by a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpLink {
    pub id: u32,
    pub program_id: u32,
    /// Interface index in the interface's own network namespace, whichever that is. 0 if the link
    /// is detached, for example because the interface is gone.
    pub ifindex: u32,
}

/// Returns all links of XDP programs on this host, in all network namespaces. Needs
/// `CAP_SYS_ADMIN`.
pub fn xdp_links() -> io::Result<Vec<XdpLink>> {
    let mut last = 0;
    let ids = iter::from_fn(|| {
        let next = next_link(last).transpose()?;
        last = next.as_ref().copied().unwrap_or(last);
        Some(next)
    });
    let mut links = Vec::new();
    for id in ids {
        match link(id?) {
            Ok(link) => links.extend(xdp_link(&link)?),
            // The link was removed in the meantime.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(links)
}

/// Returns the link pinned at this path, if it is an XDP link.
pub fn pinned_xdp_link(pin: &Path) -> io::Result<Option<XdpLink>> {
    xdp_link(&open(pin)?)
}

/// Returns the values of a per-CPU array at these indices, for each possible CPU, with one system
/// call. A value has `words` words per CPU.
pub fn per_cpu_values(
    map: BorrowedFd<'_>,
    places: Range<u32>,
    words: usize,
) -> io::Result<Vec<u64>> {
    let count = places.len();
    let (mut keys, mut values) = (vec![0_u32; count], vec![0_u64; count * words]);
    // Index before the first one, if any.
    let before = places.start.checked_sub(1);
    let mut last = 0_u32;
    let mut lookup = Lookup {
        in_batch: before.as_ref().map_or(0, |before| &raw const *before as u64),
        out_batch: &raw mut last as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(count).map_err(io::Error::other)?,
        map_fd: map.as_raw_fd(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the buffers have room for all requested keys and values; all are plain numbers.
    match unsafe { bpf(MAP_LOOKUP_BATCH, &mut lookup) } {
        // The array ends there.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    if keys.iter().copied().eq(places) { Ok(values) } else { Err(io::ErrorKind::NotFound.into()) }
}

fn next_link(after: u32) -> io::Result<Option<u32>> {
    let mut attributes = ById { id: after, ..ById::default() };
    // SAFETY: the structure holds no pointers.
    match unsafe { bpf(LINK_GET_NEXT_ID, &mut attributes) } {
        Ok(_) => Ok(Some(attributes.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn link(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: the structure holds no pointers.
    let link = unsafe { bpf(LINK_GET_FD_BY_ID, &mut ById { id, ..ById::default() }) }?;
    own(link)
}

fn xdp_link(link: &OwnedFd) -> io::Result<Option<XdpLink>> {
    let mut info = Info::default();
    let info_len = u32::try_from(size_of::<Info>()).map_err(io::Error::other)?;
    let info_at = &raw mut info;
    let mut attributes = GetInfo { bpf_fd: link.as_raw_fd(), info_len, info: info_at as u64 };
    // SAFETY: the kernel writes no more than the length that is given, into plain numbers.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    let Info { link_type, id, program_id, ifindex, .. } = info;
    Ok((link_type == XDP).then_some(XdpLink { id, program_id, ifindex }))
}

fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut get = ObjGet { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: the path outlives the call and ends in a NUL.
    let opened = unsafe { bpf(OBJ_GET, &mut get) }?;
    own(opened)
}

fn own(opened: c_long) -> io::Result<OwnedFd> {
    let opened = RawFd::try_from(opened).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// Detaches the program of a pinned link. When this returns, the program no longer runs; removing
/// only the pin would let it run for a while.
pub fn detach_pinned(pin: &Path) -> io::Result<()> {
    let link = open(pin)?;
    // SAFETY: the structure holds no pointers.
    unsafe { bpf(LINK_DETACH, &mut LinkDetach { link_fd: link.as_raw_fd() }) }?;
    Ok(())
}

/// # Safety
///
/// `attributes` must be the structure of the command, and its pointers must be valid for the call.
unsafe fn bpf<T>(command: c_int, attributes: &mut T) -> io::Result<c_long> {
    // SAFETY: the size passed is that of the attributes; the caller guarantees the rest.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use aya::{
        maps::{Map, MapData, PerCpuArray, PerCpuValues},
        util::nr_cpus,
    };
    use aya_obj::{
        EbpfSectionKind,
        maps::{LegacyMap, bpf_map_def},
    };

    use super::*;

    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    const PER_CPU_ARRAY: u32 = 6;

    #[test]
    #[ignore = "needs root"]
    fn root_values_of_many_places_are_read_by_one_call() {
        let def = bpf_map_def {
            map_type: PER_CPU_ARRAY,
            key_size: 4,
            value_size: 16,
            max_entries: 100,
            ..bpf_map_def::default()
        };
        let map = aya_obj::Map::Legacy(LegacyMap {
            def,
            inner_def: None,
            section_index: 0,
            section_kind: EbpfSectionKind::Maps,
            symbol_index: None,
            data: Vec::new(),
        });
        let data = MapData::create(map, "values", None).expect("made");
        let fd = data.fd().as_fd().try_clone_to_owned().expect("cloned");
        let mut array: PerCpuArray<_, u128> =
            Map::PerCpuArray(data).try_into().expect("such an array");
        let cpus = nr_cpus().expect("some");
        for place in 0..100_u32 {
            let values = PerCpuValues::try_from(vec![u128::from(place); cpus]).expect("for each");
            array.set(place, values, 0).expect("set");
        }
        for places in [0..1, 0..100, 7..9, 99..100] {
            let read = per_cpu_values(fd.as_fd(), places.clone(), 2 * cpus).expect("read");
            let words = places.flat_map(|place| [u64::from(place), 0].repeat(cpus));
            assert_eq!(read, words.collect::<Vec<_>>());
        }
        assert!(per_cpu_values(fd.as_fd(), 99..101, 2 * cpus).is_err(), "beyond the end");
    }
}
