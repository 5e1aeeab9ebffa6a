//! Names of demos: each running demo has its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use lb_testbed::Testbed;

const PREFIX: &str = "demo";

/// Maximum number of demos at a time.
const MOST: usize = 16;

const LOCKS: &str = "/run/xdplb";

/// A name of no other demo that is not a prefix of foreign namespaces.
pub(super) struct Claim {
    pub(super) prefix: String,
    _lock: Flock<File>,
}

impl Claim {
    /// Claims the first free name. A kept demo has no lock, but its testbed.
    pub(super) fn new() -> Result<Self> {
        fs::create_dir_all(LOCKS).with_context(|| format!("cannot make {LOCKS}"))?;
        for prefix in prefixes() {
            let Some(claim) = Self::of(prefix)? else { continue };
            if !Testbed::has_left(&claim.prefix)? && Testbed::is_free(&claim.prefix)? {
                return Ok(claim);
            }
        }
        bail!(
            "{MOST} demos run or were kept, or network namespaces of their names are in use: \
             `xdplb demo --stop` removes those that were kept"
        )
    }

    /// Returns None if a demo of that name is running.
    fn of(prefix: String) -> Result<Option<Self>> {
        let path = lock(&prefix);
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Self { prefix, _lock: lock })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

/// Removes the kept demo of this name, or all. Returns the names of the removed and the running
/// ones.
pub(super) fn remove_kept(named: Option<&str>) -> Result<(Vec<String>, Vec<String>)> {
    let (mut removed, mut running) = (Vec::new(), Vec::new());
    let selected = prefixes().filter(|prefix| named.is_none_or(|named| named == prefix));
    for prefix in selected.filter(|prefix| lock(prefix).exists()) {
        let Some(claim) = Claim::of(prefix.clone())? else {
            running.push(prefix);
            continue;
        };
        if Testbed::has_left(&claim.prefix)? {
            Testbed::remove(&claim.prefix)?;
            removed.push(prefix);
        }
    }
    Ok((removed, running))
}

/// Accepts only names of demos: other testbeds have prefixes too.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let known = prefixes().find(|prefix| prefix == text);
    known.ok_or_else(|| format!("demos are named {PREFIX} and {PREFIX}2 to {PREFIX}{MOST}"))
}

fn prefixes() -> impl Iterator<Item = String> {
    let others = (2..=MOST).map(|nth| format!("{PREFIX}{nth}"));
    std::iter::once(PREFIX.to_owned()).chain(others)
}

fn lock(prefix: &str) -> PathBuf {
    Path::new(LOCKS).join(format!("{prefix}.lock"))
}
