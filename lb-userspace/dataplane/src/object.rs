//! Maps of a loaded object.

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::Map};

pub(crate) fn map<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a Map> {
    ebpf.map(name).with_context(|| format!("the object has no map {name}"))
}

pub(crate) fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Map> {
    ebpf.map_mut(name).with_context(|| format!("the object has no map {name}"))
}

/// Closes the files of all maps but these: programs, pins and mappings hold theirs without them.
pub(crate) fn close_maps(ebpf: &mut Ebpf, kept: &[&str]) {
    let names: Vec<_> = ebpf.maps().map(|(name, _)| name.to_owned()).collect();
    for name in names.iter().filter(|name| !kept.contains(&name.as_str())) {
        drop(ebpf.take_map(name));
    }
}
