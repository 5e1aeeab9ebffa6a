//! XDP program for a switch's ports.

use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result};
use aya::{Ebpf, programs::Xdp};
use rtnetlink::{
    Handle, LinkUnspec,
    packet_route::link::{LinkAttribute, LinkXdp},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/testbed.bpf.o"));

/// `XDP_FLAGS_DRV_MODE` of `linux/if_link.h`: native XDP.
const DRIVER_MODE: u32 = 1 << 2;

/// Attaches a native XDP program that passes all frames. It stays as long as the interface, as it
/// is attached by netlink rather than by a link that someone would have to hold.
pub(super) async fn attach(netlink: &Handle, interface: &str) -> Result<()> {
    let mut object = Ebpf::load(OBJECT)?;
    let program: &mut Xdp =
        object.program_mut("pass").context("the object has no program `pass`")?.try_into()?;
    program.load()?;
    let xdp = LinkAttribute::Xdp(vec![
        LinkXdp::Fd(program.fd()?.as_fd().as_raw_fd()),
        LinkXdp::Flags(DRIVER_MODE),
    ]);
    let change = LinkUnspec::new_with_name(interface).append_extra_attribute(xdp).build();
    Ok(netlink.link().change(change).execute().await?)
}
