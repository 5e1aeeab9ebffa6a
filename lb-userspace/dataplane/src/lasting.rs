//! Lifetime of pins: a BPF file system ends with the last mount namespace that has it.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use nix::sys::stat::{major, minor};
use procfs::process::{MountInfo, Process};

/// Process whose mounts last as long as the host runs.
const INIT: i32 = 1;

/// Returns true if pins below a path stay when the daemon ends. If process 1 is not visible, it is
/// assumed to have the same file system.
pub(super) fn is_lasting(path: &Path) -> bool {
    let mounts = Process::new(INIT).and_then(|init| init.mountinfo());
    let (Ok(found), Ok(mounts)) = (fs::metadata(path), mounts) else { return true };
    has(&mounts.0, found.dev())
}

fn has(mounts: &[MountInfo], device: u64) -> bool {
    let device = format!("{}:{}", major(device), minor(device));
    mounts.iter().any(|mount| mount.majmin == device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_identified_by_their_devices() {
        let own = Process::myself().and_then(|own| own.mountinfo()).expect("readable").0;
        let root = fs::metadata("/proc").expect("mounted").dev();
        assert!(has(&own, root));
        assert!(!has(&own[..0], root));
        assert!(is_lasting(Path::new("/nowhere/at/all")));
    }
}
