//! Memory that a table of connections takes.

use std::{fs, os::fd::AsFd as _, os::fd::AsRawFd as _};

use anyhow::{Context as _, Result};
use aya::{maps::MapInfo, programs::Xdp};

/// A table's memory, as the kernel accounts for it.
pub struct Memory {
    pub table: &'static str,
    pub bytes: u64,
    /// Number of connections that it is made for, of two flows each: one for each direction.
    pub connections: u32,
}

impl Memory {
    pub(super) const fn new(table: &'static str, bytes: u64, connections: u32) -> Self {
        Self { table, bytes, connections }
    }

    #[must_use]
    pub fn per_flow(&self) -> f64 {
        self.per_connection() / 2.0
    }

    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 bytes")]
    pub fn per_connection(&self) -> f64 {
        self.bytes as f64 / f64::from(self.connections)
    }
}

/// Returns the bytes of a program's map.
pub(super) fn of_map(program: &Xdp, name: &str) -> Result<u64> {
    let ids = program.info()?.map_ids()?.context("the kernel does not list a program's maps")?;
    for id in ids {
        let map = MapInfo::from_id(id)?;
        if map.name_as_str() == Some(name) {
            let descriptor = map.fd()?;
            let info = format!("/proc/self/fdinfo/{}", descriptor.as_fd().as_raw_fd());
            return locked(&fs::read_to_string(info)?);
        }
    }
    anyhow::bail!("the program has no map {name}")
}

/// Returns the bytes in a map's description by the kernel.
fn locked(info: &str) -> Result<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("memlock:"));
    let bytes = line.context("the kernel does not tell the memory of a map")?;
    bytes.trim().parse().context("the memory of a map is no number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_description_of_a_map() {
        let info = "pos:\t0\nmap_type:\t2\nmax_entries:\t7\nmemlock:\t8192\nmap_id:\t3\n";
        assert_eq!(locked(info).unwrap(), 8_192);
        assert!(locked("pos:\t0\n").is_err());
    }

    #[test]
    fn a_connection_is_two_flows() {
        let memory = Memory::new("xdplb", 4_096, 16);
        assert!((memory.per_connection() - 256.0).abs() < 1e-9);
        assert!((memory.per_flow() - 128.0).abs() < 1e-9);
    }
}
