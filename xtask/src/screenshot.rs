//! `cargo xtask screenshot`: the picture of the status page in the README.

use anyhow::Result;

use crate::{
    build, exec,
    setup::{self, Group},
    workspace,
};

pub(crate) fn run() -> Result<()> {
    setup::ensure(Group::See)?;
    build::xdplb()?;
    exec::run(
        workspace::cargo()
            .args(["run", "--quiet", "--package", "lb-tests", "--bin", "screenshot", "--"])
            .arg(workspace::root().join("docs/page.png")),
    )
}
