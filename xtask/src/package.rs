//! `cargo xtask package`: a Debian package of the release binary.

use std::process::Command;

use anyhow::Result;

use crate::{build, docs, exec, setup::packager, workspace};

pub(crate) fn run() -> Result<()> {
    build::xdplb()?;
    make()
}

/// Packages the existing binary.
pub(crate) fn make() -> Result<()> {
    let packager = packager::ensure()?;
    docs::write_all()?;
    exec::run(
        Command::new(packager)
            .current_dir(workspace::root())
            .args(["--package", "lb-userspace", "--no-build", "--output"])
            .arg(workspace::target()?.join("debian/xdplb.deb")),
    )
}
