//! Maps of a loaded object.

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::Map};

pub(crate) fn map<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a Map> {
    ebpf.map(name).with_context(|| format!("the object has no map {name}"))
}

pub(crate) fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Map> {
    ebpf.map_mut(name).with_context(|| format!("the object has no map {name}"))
}
