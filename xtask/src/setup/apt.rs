//! Debian's packages.

use std::{fs, process::Command};

use anyhow::{Result, bail};

use crate::{exec, workspace};

/// Whether this is the Debian release that has the packages we name.
pub(crate) fn is_debian_12() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian")
        && release.lines().any(|line| line == r#"VERSION_ID="12""#)
}

/// Those of the packages that are not installed.
pub(crate) fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    packages.iter().filter(|package| !is_installed(package)).copied().collect()
}

/// `dpkg-query` fails for a package that dpkg has never heard of: that one is missing too.
fn is_installed(package: &str) -> bool {
    let query = ["--show", "--showformat=${db:Status-Status}", package];
    exec::output(Command::new("dpkg-query").args(query)).is_ok_and(|status| status == "installed")
}

/// Installs packages, after saying which.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !workspace::is_root() {
        bail!("not root, so these packages must be installed by hand: apt-get install {list}");
    }
    println!("Installing by apt: {list}");
    exec::run(Command::new("apt-get").args(["update", "--quiet"]))?;
    exec::run(
        Command::new("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Stops a service that its package has just started, and keeps it from starting at boot.
pub(crate) fn disable(service: &str) -> Result<()> {
    exec::run(Command::new("/usr/sbin/service").args([service, "stop"]))?;
    exec::run(Command::new("/usr/sbin/update-rc.d").args([service, "disable"]))
}
