//! The end: programs off, pins gone.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use nix::net::if_::{if_indextoname, if_nametoindex};

use super::{
    attach,
    pins::{Pins, directory, links},
};

/// Takes the program off these interfaces, or, if none are named, off all, and then removes the
/// maps too. Returns the names of the interfaces that packets no longer go through.
pub fn detach(bpffs: &Path, interfaces: &[String]) -> Result<Vec<String>> {
    let directory = directory(bpffs);
    if !directory.exists() {
        bail!("nothing is attached: {} does not exist", directory.display());
    }
    let pins = Pins::open(bpffs)?;
    let attached = pins.links()?;
    let chosen = choose(&attached, interfaces)?;
    for ifindex in &chosen {
        attach::remove(&pins.link(*ifindex))?;
    }
    if links(&directory)?.is_empty() {
        remove_all(&directory)?;
    }
    Ok(chosen.into_iter().map(name).collect())
}

fn choose(attached: &[u32], interfaces: &[String]) -> Result<Vec<u32>> {
    if interfaces.is_empty() {
        return Ok(attached.to_vec());
    }
    interfaces
        .iter()
        .map(|name| {
            let ifindex = if_nametoindex(name.as_str())
                .with_context(|| format!("there is no interface {name}"))?;
            if !attached.contains(&ifindex) {
                bail!("xdplb is not attached to {name}");
            }
            Ok(ifindex)
        })
        .collect()
}

fn remove_all(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        fs::remove_file(&path).with_context(|| format!("cannot unpin {}", path.display()))?;
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
