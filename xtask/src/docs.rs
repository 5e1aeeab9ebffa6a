//! `cargo xtask docs`: the references in `docs/`, generated from the code.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

use crate::{build, exec, workspace};

const KEPT: [&str; 6] = [
    "configuration.md",
    "counters.md",
    "doctor.md",
    "metrics.md",
    "openapi.json",
    "xdplb.schema.json",
];

pub(crate) fn run() -> Result<()> {
    build::xdplb()?;
    let documents = workspace::documents()?;
    write_all()?;
    for name in KEPT {
        let (from, to) = (documents.join(name), workspace::root().join("docs").join(name));
        fs::copy(&from, &to).with_context(|| format!("cannot write {}", to.display()))?;
        println!("docs/{name}");
    }
    Ok(())
}

/// Makes the release binary write all its references beside itself.
pub(crate) fn write_all() -> Result<()> {
    let mut xdplb = Command::new(workspace::xdplb()?);
    exec::run(xdplb.arg("documents").arg(workspace::documents()?))
}
