//! Pins of maps and links, which outlive the daemon in a directory of a BPF file system.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, Result, bail};
use lb_common::LAYOUT;
use nix::{
    fcntl::{Flock, FlockArg},
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

/// Prefix of the names of interface pins, followed by the index.
const LINK: &str = "link_";
const GUARD: &str = "guard_";
const FILTER: &str = "filter_";
/// Prefix of the names of maps that are replaced, followed by the map's name.
const FORMER: &str = "former_";
/// Directory of all pins in a BPF file system.
const DIRECTORY: &str = "xdplb";

/// Removes a pin.
pub fn unpin(pin: &Path) -> Result<()> {
    fs::remove_file(pin).with_context(|| format!("cannot unpin {}", pin.display()))
}

/// Directory of a layout's pins, locked against a second daemon until dropped.
#[derive(Debug)]
pub struct Pins {
    directory: PathBuf,
    _lock: Flock<fs::File>,
}

impl Pins {
    /// Opens the pins on the BPF file system at `bpffs`, mounting it if it is missing.
    pub fn open(bpffs: &Path) -> Result<Self> {
        mount_if_missing(bpffs)?;
        let directory = directory(bpffs);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create the pin directory {}", directory.display()))?;
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

    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns the pin of a map that one of another size replaces, until everything has moved from it.
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

/// Returns true if a daemon has left pins.
#[must_use]
pub fn exists(bpffs: &Path) -> bool {
    directory(bpffs).exists()
}

/// Returns true if a link of ours is pinned for an interface.
#[must_use]
pub fn is_attached(bpffs: &Path, ifindex: u32) -> bool {
    directory(bpffs).join(link_name(ifindex)).exists()
}

/// Returns the directory of this layout's pins.
#[must_use]
pub fn directory(bpffs: &Path) -> PathBuf {
    bpffs.join(DIRECTORY).join(format!("v{LAYOUT}"))
}

/// Returns the directories of all layouts that have pins.
pub fn directories(bpffs: &Path) -> Result<Vec<PathBuf>> {
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

/// Returns an error if pins of another layout exist, whose maps would be misread.
pub fn refuse_other_layouts(bpffs: &Path) -> Result<()> {
    let own = directory(bpffs);
    let Some(other) = directories(bpffs)?.into_iter().find(|found| *found != own) else {
        return Ok(());
    };
    bail!(
        "packets are forwarded by {} of another version of xdplb, whose maps this one cannot \
         read: run `xdplb detach` first, which ends all connections, or start that version again",
        other.display()
    )
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
