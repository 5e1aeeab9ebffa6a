//! Directories of the daemon, and what it has left there.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use lb_config::{Config, desired::loss_files};
use lb_host::accounts;
use nix::sys::{
    statfs::{BPF_FS_MAGIC, statfs},
    statvfs::{FsFlags, statvfs},
};

use super::{Seen, bounded, bounded::known};

/// User that the systemd unit runs the daemon as.
const USER: &str = "xdplb";

#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) is_bpffs: Seen<bool>,
    /// True if a daemon was killed in the middle of a migration, and no other one goes on with it.
    pub(crate) is_migration_interrupted: Seen<bool>,
    /// None if it does not exist: the daemon creates it.
    pub(crate) state: Seen<Option<StateDirectory>>,
    /// Files that tell what the journal has lost.
    pub(crate) losses: Seen<Vec<PathBuf>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateDirectory {
    pub(crate) is_directory: bool,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    /// Who should be its owner, if that is somebody else.
    pub(crate) wanted_owner: Option<String>,
    pub(crate) is_read_only: bool,
    /// In bytes.
    pub(crate) free: u64,
}

impl Storage {
    pub(super) async fn gather(config: &Config) -> Self {
        let (bpffs, pins) = (config.bpffs.clone(), config.bpffs.clone());
        let (state, losses) = (config.state_dir.clone(), config.state_dir.clone());
        let (is_bpffs, interrupted, state, losses) = tokio::join!(
            bounded(move || is_bpffs(&bpffs)),
            bounded(move || lb_dataplane::is_migration_interrupted(&pins)),
            bounded(move || state_directory(&state)),
            bounded(move || losses_of(&losses)),
        );
        Self {
            is_bpffs: is_bpffs.flatten(),
            is_migration_interrupted: known(interrupted),
            state: state.flatten(),
            losses: losses.flatten(),
        }
    }
}

fn is_bpffs(path: &Path) -> Seen<bool> {
    match statfs(path) {
        Ok(found) => Ok(found.filesystem_type() == BPF_FS_MAGIC),
        Err(nix::Error::ENOENT) => Ok(false),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn state_directory(path: &Path) -> Seen<Option<StateDirectory>> {
    let cannot = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(&error)),
    };
    let system = statvfs(path).map_err(|error| cannot(&error))?;
    Ok(Some(StateDirectory {
        is_directory: found.is_dir(),
        mode: found.mode() & 0o7777,
        owner: found.uid(),
        wanted_owner: wanted_owner(found.uid()),
        is_read_only: system.flags().contains(FsFlags::ST_RDONLY),
        free: system.blocks_available() * system.fragment_size(),
    }))
}

/// Returns who should be the owner, unless it is root or the user of the unit.
fn wanted_owner(owner: u32) -> Option<String> {
    let user = accounts::account(USER);
    if owner == 0 || user.as_ref().is_some_and(|user| user.uid == owner) {
        return None;
    }
    Some(user.map_or("root", |_| USER).to_owned())
}

fn losses_of(path: &Path) -> Seen<Vec<PathBuf>> {
    match fs::read_dir(path) {
        Ok(_) => loss_files(path).map_err(|error| format!("{error:#}")),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(format!("only root and the daemon read {}", path.display()))
        }
        // Another check tells.
        Err(_) => Ok(Vec::new()),
    }
}
