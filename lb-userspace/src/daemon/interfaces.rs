//! The interfaces that packets of services come in by.

use anyhow::{Context as _, Result, bail};
use aya::programs::{ProgramInfo, XdpMode as Kernel, loaded_programs};

use crate::{
    config::{Loaded, XdpMode},
    control::{InterfaceMode, InterfaceView},
    dataplane::{self, Dataplane},
    neighbours::{self, Interface as Link, XdpAttached},
};

#[derive(Clone, Debug)]
pub struct Interface {
    pub name: String,
    pub ifindex: u32,
    pub mode: InterfaceMode,
    /// Why it is not native although it may be.
    fallback: Option<String>,
}

/// The configured interfaces: all of them must exist, and none may have a foreign program.
pub async fn find(loaded: &Loaded) -> Result<Vec<Link>> {
    let mut found = Vec::new();
    for (place, name) in loaded.config.interfaces.iter().enumerate() {
        let Some(link) = neighbours::interface(name).await? else {
            return Err(loaded.interface_error(
                place,
                &format!("there is no interface {name}"),
                "`ip link` shows those that there are",
            ));
        };
        if !dataplane::is_attached(&loaded.config.bpffs, link.ifindex) {
            refuse_foreign(&link).await?;
        }
        found.push(link);
    }
    Ok(found)
}

/// Puts the program on all of them, and takes it off all others.
pub async fn attach(
    dataplane: &mut Dataplane,
    links: Vec<Link>,
    wanted: XdpMode,
) -> Result<Vec<Interface>> {
    let own = dataplane.program_id()?;
    let mut attached = Vec::new();
    for link in &links {
        let Link { name, ifindex, .. } = link;
        dataplane.open_egress(*ifindex)?;
        let mut fallback = None;
        if !dataplane.take_over(*ifindex)? {
            fallback = attach_one(dataplane, link, wanted)?;
        }
        let mode = InterfaceMode::Detached;
        attached.push(Interface { name: name.clone(), ifindex: *ifindex, mode, fallback });
    }
    let kept: Vec<u32> = links.iter().map(|link| link.ifindex).collect();
    dataplane.detach_others(&kept)?;
    look(&mut attached, own).await?;
    Ok(attached)
}

/// Asks the kernel in which mode the program with the id `own` really runs.
pub async fn look(interfaces: &mut [Interface], own: u32) -> Result<()> {
    for interface in interfaces {
        let attached = neighbours::xdp_attached(interface.ifindex).await?;
        let mode = match attached.filter(|attached| attached.program_id == own) {
            None => InterfaceMode::Detached,
            Some(XdpAttached { mode: neighbours::XdpMode::Generic, .. }) => InterfaceMode::Generic,
            Some(_) => InterfaceMode::Native,
        };
        if mode == InterfaceMode::Detached && interface.mode != mode {
            log::error!("{} has lost the program", interface.name);
        }
        interface.mode = mode;
    }
    Ok(())
}

/// Returns why native mode was not to be had, if it was wanted but not insisted on.
fn attach_one(dataplane: &mut Dataplane, link: &Link, wanted: XdpMode) -> Result<Option<String>> {
    let Link { name, ifindex, .. } = link;
    if wanted == XdpMode::Generic {
        dataplane.attach(*ifindex, Kernel::Skb).with_context(|| refused(name, "generic"))?;
        return Ok(None);
    }
    let native = dataplane.attach(*ifindex, Kernel::Driver);
    let Err(error) = native else { return Ok(None) };
    if wanted == XdpMode::Native {
        return Err(error.context(refused(name, "native")));
    }
    let reason = format!("{error:#}");
    log::warn!("{name}: no native XDP ({reason}): falling back to generic mode, which is slow");
    dataplane.attach(*ifindex, Kernel::Skb).with_context(|| refused(name, "generic"))?;
    Ok(Some(reason))
}

fn refused(name: &str, mode: &str) -> String {
    format!("cannot attach to {name} in {mode} mode")
}

async fn refuse_foreign(link: &Link) -> Result<()> {
    let Some(attached) = neighbours::xdp_attached(link.ifindex).await? else { return Ok(()) };
    let id = attached.program_id;
    let name = program_name(id).unwrap_or_else(|| "unnamed".to_owned());
    let link = &link.name;
    bail!(
        "{link} has another XDP program attached (id {id}, {name}): take it off with \
         `ip link set dev {link} xdp off`, or stop what put it there"
    )
}

fn program_name(id: u32) -> Option<String> {
    let mut programs = loaded_programs().filter_map(Result::ok);
    let program: ProgramInfo = programs.find(|program| program.id() == id)?;
    program.name_as_str().map(ToOwned::to_owned)
}

impl Interface {
    pub fn warning(&self) -> Option<String> {
        let Self { name, fallback, .. } = self;
        match (self.mode, fallback) {
            (InterfaceMode::Native, _) => None,
            (InterfaceMode::Generic, Some(reason)) => {
                Some(format!("{name} runs in generic mode, which is slow: {reason}"))
            }
            (InterfaceMode::Generic, None) => {
                Some(format!("{name} runs in generic mode, which is slow"))
            }
            (InterfaceMode::Detached, _) => Some(format!("{name} has no program attached")),
        }
    }
}

impl From<&Interface> for InterfaceView {
    fn from(interface: &Interface) -> Self {
        let Interface { name, ifindex, mode, .. } = interface;
        Self { name: name.clone(), ifindex: *ifindex, mode: *mode }
    }
}
