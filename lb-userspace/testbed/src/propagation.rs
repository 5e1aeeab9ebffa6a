//! The directory of named namespaces as a mount point, as of `ip netns add`: namespaces mounted in it
//! before it is one could not be removed any more.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

/// Makes a directory a mount point that shares its mounts, if it is none yet.
pub(super) fn share(directory: &Path) -> Result<()> {
    let shown = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("cannot make {shown}"))?;
    let opened = File::open(directory).with_context(|| format!("cannot open {shown}"))?;
    // `ip netns` takes the same lock.
    opened.lock().with_context(|| format!("cannot lock {shown}"))?;
    let shared = match share_mounts(directory) {
        Err(nix::Error::EINVAL) => {
            mount_on_itself(directory).and_then(|()| share_mounts(directory))
        }
        shared => shared,
    };
    shared.with_context(|| format!("cannot share the mounts in {shown}: are you root?"))
}

fn share_mounts(directory: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
    mount(None::<&str>, directory, None::<&str>, flags, None::<&str>)
}

fn mount_on_itself(directory: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(directory), directory, None::<&str>, flags, None::<&str>)
}
