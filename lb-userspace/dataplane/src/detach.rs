//! Detaches the programs and removes the pins.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::net::if_::{if_indextoname, if_nametoindex};

use super::{
    attach, guard,
    layouts::{DIRECTORY, directories},
    pins::{Pins, unpin},
};
use lb_host::sys::bpf::{self, XdpLink};

/// A pinned link with the location of its program.
#[derive(Clone, Copy)]
struct Attached<'a> {
    pins: &'a Pins,
    /// Index of the interface when the link was pinned.
    pinned: u32,
    place: Location,
}

/// Location of a link's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Location {
    /// On the interface with this index.
    Here(u32),
    /// On the interface with this index in another network namespace.
    Elsewhere(u32),
    /// The interface is gone, or the link was detached.
    Nowhere,
}

/// Detaches the program from these interfaces; if none are given, from all, and then removes the
/// maps of all layouts too. Returns the names of the interfaces.
pub async fn detach(bpffs: &Path, interfaces: &[String]) -> Result<Vec<String>> {
    let layouts = directories(bpffs)?;
    if layouts.is_empty() {
        bail!("nothing is attached: {} has no pins", bpffs.join(DIRECTORY).display());
    }
    let lock = |directory: PathBuf| {
        let shown = directory.display().to_string();
        Pins::lock(directory)?.with_context(|| {
            format!(
                "a running daemon holds {shown}: stop it first, for example with `systemctl stop \
                 xdplb`, then detach"
            )
        })
    };
    let layouts = layouts.into_iter().map(lock).collect::<Result<Vec<_>>>()?;
    let mut attached = Vec::new();
    for pins in &layouts {
        for pinned in pins.links()? {
            attached.push(Attached { pins, pinned, place: place(&pins.link(pinned)).await? });
        }
    }
    let chosen = choose(&attached, interfaces)?;
    chosen.iter().try_for_each(Attached::refuse_filter_elsewhere)?;
    // Read first, as an interface may be deleted in the meantime.
    let names = chosen.iter().map(Attached::name).collect();
    for Attached { pins, pinned, .. } in &chosen {
        attach::remove(&pins.link(*pinned))?;
    }
    // The guards last, so that the host's stack gets no packets while another interface still has
    // the program.
    for pins in &layouts {
        let left = pins.links()?;
        let mut unguarded = pins.guards()?;
        unguarded.retain(|ifindex| !left.contains(ifindex));
        unguarded.into_iter().try_for_each(|ifindex| guard::remove(pins, ifindex))?;
        if left.is_empty() {
            remove_all(pins.directory())?;
        }
    }
    Ok(names)
}

/// Returns the location of a link's program. The kernel does not report a link's network namespace,
/// but an interface has only one program, so it is here if this namespace's interface of that index
/// has it.
async fn place(pin: &Path) -> Result<Location> {
    let link = bpf::pinned_xdp_link(pin)
        .with_context(|| format!("cannot open the pinned link {}", pin.display()))?
        .with_context(|| format!("{} is not a link of an XDP program", pin.display()))?;
    let XdpLink { program_id, ifindex, .. } = link;
    if ifindex == 0 {
        return Ok(Location::Nowhere);
    }
    let here = lb_neighbours::xdp_attached(ifindex).await?;
    let is_here = here.is_some_and(|found| found.program_id == program_id);
    Ok(if is_here { Location::Here(ifindex) } else { Location::Elsewhere(ifindex) })
}

fn choose<'a>(attached: &[Attached<'a>], interfaces: &[String]) -> Result<Vec<Attached<'a>>> {
    if interfaces.is_empty() {
        return Ok(attached.to_vec());
    }
    interfaces
        .iter()
        .map(|name| {
            let ifindex = if_nametoindex(name.as_str())
                .with_context(|| format!("there is no interface {name}"))?;
            let found = attached.iter().find(|one| one.is_of(ifindex));
            found.copied().with_context(|| format!("xdplb is not attached to {name}"))
        })
        .collect()
}

impl Attached<'_> {
    /// Returns true if it belongs to the interface with this index in this network namespace.
    fn is_of(&self, ifindex: u32) -> bool {
        match self.place {
            Location::Here(own) => own == ifindex,
            Location::Elsewhere(_) => false,
            Location::Nowhere => self.pinned == ifindex,
        }
    }

    /// Returns an error for a filter in another namespace, which has no link to remove it by.
    fn refuse_filter_elsewhere(&self) -> Result<()> {
        let is_elsewhere = matches!(self.place, Location::Elsewhere(_));
        ensure!(
            !is_elsewhere || !self.pins.filter(self.pinned).exists(),
            "{} has a host guard that can only be removed there: run `xdplb detach` in that \
             namespace",
            self.name()
        );
        Ok(())
    }

    fn name(&self) -> String {
        match self.place {
            Location::Here(ifindex) => if_indextoname(ifindex)
                .ok()
                .and_then(|name| name.into_string().ok())
                .unwrap_or_else(|| format!("interface {ifindex}")),
            Location::Elsewhere(ifindex) => {
                format!("interface {ifindex} of another network namespace")
            }
            Location::Nowhere => {
                format!("interface {}, which no longer had a program", self.pinned)
            }
        }
    }
}

fn remove_all(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        unpin(&entry?.path())?;
    }
    fs::remove_dir(directory)
        .with_context(|| format!("cannot remove the pin directory {}", directory.display()))?;
    // Fails if the pins of another layout remain.
    directory.parent().map(fs::remove_dir);
    Ok(())
}
