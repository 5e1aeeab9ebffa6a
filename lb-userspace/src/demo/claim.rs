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
    /// Claims the first free name. Removes a kept demo of that name.
    pub(super) fn new() -> Result<Self> {
        fs::create_dir_all(LOCKS).with_context(|| format!("cannot make {LOCKS}"))?;
        for prefix in prefixes() {
            let Some(claim) = Self::of(prefix)? else { continue };
            Testbed::remove(&claim.prefix)?;
            if Testbed::is_free(&claim.prefix)? {
                return Ok(claim);
            }
        }
        bail!("{MOST} demos run already, or network namespaces of their names are in use")
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

/// Removes all kept demos. Returns the names of the removed and the running ones.
pub(super) fn remove_kept() -> Result<(Vec<String>, Vec<String>)> {
    let (mut removed, mut running) = (Vec::new(), Vec::new());
    for prefix in prefixes().filter(|prefix| lock(prefix).exists()) {
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

fn prefixes() -> impl Iterator<Item = String> {
    let others = (2..=MOST).map(|nth| format!("{PREFIX}{nth}"));
    std::iter::once(PREFIX.to_owned()).chain(others)
}

fn lock(prefix: &str) -> PathBuf {
    Path::new(LOCKS).join(format!("{prefix}.lock"))
}
