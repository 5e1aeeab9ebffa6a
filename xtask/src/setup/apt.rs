//! Debian's packages.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use anyhow::{Result, bail};

use crate::{exec, steps::say, workspace};

/// Returns true on the Debian release that has the packages we name.
pub(crate) fn is_debian_12() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian")
        && release.lines().any(|line| line == r#"VERSION_ID="12""#)
}

/// Returns the packages that are not installed.
pub(crate) fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    packages.iter().filter(|package| !is_installed(package)).copied().collect()
}

/// Treats a package as missing, too, if `dpkg-query` fails because it is unknown.
fn is_installed(package: &str) -> bool {
    let query = ["--show", "--showformat=${db:Status-Status}", package];
    exec::output(Command::new("dpkg-query").args(query)).is_ok_and(|status| status == "installed")
}

/// Script that Debian's packages ask for permission to start services: `invoke-rc.d(8)`.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// "Action forbidden."
const FORBIDS: &str = "#!/bin/sh\nexit 101\n";

/// Prevents services from starting, until dropped; unless this machine has its own policy.
struct NoServices {
    is_own: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let is_own = !Path::new(POLICY).exists();
        if is_own {
            fs::write(POLICY, FORBIDS)?;
            fs::set_permissions(POLICY, Permissions::from_mode(0o755))?;
        }
        Ok(Self { is_own })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_own
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("warning: cannot remove {POLICY}, which forbids to start services: {error}");
        }
    }
}

/// Installs packages, after announcing them, without starting their services.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !workspace::is_root() {
        bail!("not root, so these packages must be installed by hand: apt-get install {list}");
    }
    say(format_args!("Installing by apt: {list}"));
    let _no_services = NoServices::begin()?;
    exec::run(Command::new("apt-get").args(["update", "--quiet"]))?;
    exec::run(
        Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Disables a service of a package just installed, so that it does not start at boot.
pub(crate) fn disable(service: &str) -> Result<()> {
    exec::run(Command::new("/usr/sbin/update-rc.d").args([service, "disable"]))
}
