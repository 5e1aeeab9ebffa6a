//! Pins of maps and links, which outlive the daemon in a directory of a BPF file system.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, Result};
use nix::{
    fcntl::{Flock, FlockArg},
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::layouts::{DIRECTORY, directory, is_own, own_name};

/// Prefix of the names of interface pins, followed by the index.
const LINK: &str = "link_";
const GUARD: &str = "guard_";
const FILTER: &str = "filter_";
/// Prefix of the names of maps that each loaded program has for itself, followed by the map's name.
const OWN: &str = "own_";
/// Prefix of the names of maps that are replaced, followed by the map's name.
const FORMER: &str = "former_";

/// Removes a pin.
pub fn unpin(pin: &Path) -> Result<()> {
    fs::remove_file(pin).with_context(|| format!("cannot unpin {}", pin.display()))
}

/// Gives a pin, or a directory of pins, another name.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}

/// Directory of a layout's pins, locked against a second daemon until dropped.
#[derive(Debug)]
pub struct Pins {
    directory: PathBuf,
    _lock: Flock<fs::File>,
}

impl Pins {
    /// Opens the pins on the BPF file system at `bpffs`, mounting it if it is missing. They may be those of
    /// the previous layout.
    pub fn open(bpffs: &Path) -> Result<Self> {
        mount_if_missing(bpffs)?;
        let directory = directory(bpffs);
        if is_own(&directory) {
            fs::create_dir_all(&directory).with_context(|| {
                format!("cannot create the pin directory {}", directory.display())
            })?;
        }
        let shown = directory.display().to_string();
        Self::lock(directory)?.with_context(|| {
            format!(
                "another xdplb daemon holds {shown}: stop it first, or give this one another `bpffs`"
            )
        })
    }

    /// Locks the pins in a directory, of any layout. Returns None if a daemon holds them.
    pub fn lock(directory: PathBuf) -> Result<Option<Self>> {
        let handle = fs::File::open(&directory)
            .with_context(|| format!("cannot open the pin directory {}", directory.display()))?;
        match Flock::lock(handle, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Self { directory, _lock: lock })),
            Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => {
                Err(error).with_context(|| format!("cannot lock {}", directory.display()))
            }
        }
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns true if these are the pins of the previous layout.
    #[must_use]
    pub fn are_previous(&self) -> bool {
        !is_own(&self.directory)
    }

    /// Makes them the pins of this layout. The lock stays.
    pub fn take_over(&mut self) -> Result<()> {
        let own = self.directory.with_file_name(own_name());
        rename(&self.directory, &own)?;
        self.directory = own;
        Ok(())
    }

    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns the names of the pinned maps, which are in capitals, unlike those of other pins.
    pub fn maps(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.names_after("")?;
        names.retain(|name| name.starts_with(|first: char| first.is_ascii_uppercase()));
        Ok(names)
    }

    /// Returns the pin of a map that the loaded program does not share with earlier ones.
    #[must_use]
    pub fn own_map(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{OWN}{name}"))
    }

    /// Returns the pin of a map that one of another shape replaces, until everything has moved from it.
    #[must_use]
    pub fn former(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{FORMER}{name}"))
    }

    /// Returns the names of the maps that others replace, in alphabetical order.
    pub fn formers(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.names_after(FORMER)?;
        names.sort();
        Ok(names)
    }

    #[must_use]
    pub fn link(&self, ifindex: u32) -> PathBuf {
        self.directory.join(link_name(ifindex))
    }

    /// Returns the pin of the host guard's link.
    #[must_use]
    pub fn guard(&self, ifindex: u32) -> PathBuf {
        self.directory.join(format!("{GUARD}{ifindex}"))
    }

    /// Returns the pin of the host guard itself, if it is attached as a filter, which has no link.
    #[must_use]
    pub fn filter(&self, ifindex: u32) -> PathBuf {
        self.directory.join(format!("{FILTER}{ifindex}"))
    }

    /// Returns the indexes of interfaces with pinned links.
    pub fn links(&self) -> Result<Vec<u32>> {
        self.names_after(LINK)
    }

    /// Returns the indexes of interfaces with the host guard.
    pub fn guards(&self) -> Result<Vec<u32>> {
        Ok([self.names_after(GUARD)?, self.names_after(FILTER)?].concat())
    }

    /// Returns what follows this prefix in the names of pins, without names that it does not fit.
    fn names_after<T: FromStr>(&self, prefix: &str) -> Result<Vec<T>> {
        let directory = &self.directory;
        let cannot = || format!("cannot read {}", directory.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).with_context(cannot)? {
            let name = entry?.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(prefix));
            found.extend(rest.and_then(|rest| rest.parse().ok()));
        }
        Ok(found)
    }
}

/// Returns true if a link of ours is pinned for an interface.
pub fn is_attached(bpffs: &Path, ifindex: u32) -> io::Result<bool> {
    directory(bpffs).join(link_name(ifindex)).try_exists()
}

fn link_name(ifindex: u32) -> String {
    format!("{LINK}{ifindex}")
}

fn mount_if_missing(bpffs: &Path) -> Result<()> {
    // In the systemd unit, only our own directory of the file system is visible.
    if is_bpffs(bpffs) || is_bpffs(&bpffs.join(DIRECTORY)) {
        return Ok(());
    }
    fs::create_dir_all(bpffs)
        .with_context(|| format!("cannot create {} to mount a BPF file system", bpffs.display()))?;
    mount(Some("bpf"), bpffs, Some("bpf"), MsFlags::empty(), Some("mode=0700")).with_context(
        || format!("{} is not a BPF file system and none can be mounted there", bpffs.display()),
    )?;
    log::info!("mounted a BPF file system at {}", bpffs.display());
    Ok(())
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}
