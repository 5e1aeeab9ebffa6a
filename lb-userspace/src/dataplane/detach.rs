//! The end: programs off, pins gone.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use nix::net::if_::{if_indextoname, if_nametoindex};

use super::{
    attach, guard,
    pins::{Pins, directories, directory, unpin},
};

/// An interface, by index, and who keeps its link.
type Attached<'a> = (u32, &'a Pins);

/// Takes the program off these interfaces, or, if none are named, off all, and then removes the
/// maps too, whatever their layout is. Returns the names of the interfaces that packets no longer
/// go through.
pub fn detach(bpffs: &Path, interfaces: &[String]) -> Result<Vec<String>> {
    let layouts = directories(bpffs)?;
    if layouts.is_empty() {
        bail!("nothing is attached: {} does not exist", directory(bpffs).display());
    }
    let layouts = layouts.into_iter().map(Pins::lock).collect::<Result<Vec<_>>>()?;
    let mut attached = Vec::new();
    for pins in &layouts {
        attached.extend(pins.links()?.into_iter().map(|ifindex| (ifindex, pins)));
    }
    let chosen = choose(&attached, interfaces)?;
    for (ifindex, pins) in &chosen {
        attach::remove(&pins.link(*ifindex))?;
    }
    // Afterwards, so that the host's stack sees nothing while another interface has the program.
    for pins in &layouts {
        let left = pins.links()?;
        let mut unguarded = pins.guards()?;
        unguarded.retain(|ifindex| !left.contains(ifindex));
        unguarded.into_iter().try_for_each(|ifindex| guard::remove(pins, ifindex))?;
        if left.is_empty() {
            remove_all(pins.directory())?;
        }
    }
    Ok(chosen.into_iter().map(|(ifindex, _)| name(ifindex)).collect())
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
            let found = attached.iter().find(|(other, _)| *other == ifindex);
            found.copied().with_context(|| format!("xdplb is not attached to {name}"))
        })
        .collect()
}

fn remove_all(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        unpin(&entry?.path())?;
    }
    fs::remove_dir(directory)
        .with_context(|| format!("cannot remove the pin directory {}", directory.display()))?;
    // Another layout's pins may stay beside these.
    directory.parent().map(fs::remove_dir);
    Ok(())
}

/// An interface that is gone has only its index left.
fn name(ifindex: u32) -> String {
    if_indextoname(ifindex)
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| format!("interface {ifindex}"))
}
