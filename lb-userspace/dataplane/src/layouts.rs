//! Layouts of pinned maps, each in a directory of its own.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use lb_common::LAYOUT;

/// Directory of all pins in a BPF file system.
pub(super) const DIRECTORY: &str = "xdplb";
/// Layout whose pins a start takes over.
const PREVIOUS: u32 = LAYOUT - 1;

/// What a daemon does if the running maps are of other limits or another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOtherMaps {
    Migrate,
    Refuse,
}

/// Returns the name of the directory of this layout's pins.
pub(super) fn own_name() -> String {
    name(LAYOUT)
}

fn name(layout: u32) -> String {
    format!("v{layout}")
}

/// Returns true if a directory is that of this layout's pins.
pub(super) fn is_own(directory: &Path) -> bool {
    directory.ends_with(own_name())
}

/// Returns the directory of the pins that a start uses: this layout's, or those that it takes over.
pub(super) fn directory(bpffs: &Path) -> PathBuf {
    let [own, previous] = [LAYOUT, PREVIOUS].map(|layout| bpffs.join(DIRECTORY).join(name(layout)));
    if previous.exists() && !own.exists() { previous } else { own }
}

/// Returns the directories of all layouts that have pins.
pub(super) fn directories(bpffs: &Path) -> Result<Vec<PathBuf>> {
    let parent = bpffs.join(DIRECTORY);
    let entries = match fs::read_dir(&parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", parent.display()));
        }
    };
    Ok(entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?)
}

/// Returns true if a daemon of any layout has left pins.
#[must_use]
pub fn exists(bpffs: &Path) -> bool {
    directories(bpffs).is_ok_and(|found| !found.is_empty())
}

/// Returns an error if there are pins of a layout that a start cannot take over, or must not.
pub fn refuse_other_layouts(bpffs: &Path, on_other_maps: OnOtherMaps) -> Result<()> {
    let used = directory(bpffs);
    if let Some(other) = directories(bpffs)?.into_iter().find(|found| *found != used) {
        bail!(
            "packets are forwarded by {} of another version of xdplb: this one has layout {LAYOUT}, \
             and takes over layout {PREVIOUS} only. Start that version again, or run `xdplb detach` \
             first, which ends all connections",
            other.display()
        );
    }
    ensure!(
        is_own(&used) || on_other_maps == OnOtherMaps::Migrate,
        "packets are forwarded by {} of the previous version of xdplb, and this one has layout \
         {LAYOUT}: start that version again, or start without `--no-migrate` to migrate connections",
        used.display()
    );
    Ok(())
}
