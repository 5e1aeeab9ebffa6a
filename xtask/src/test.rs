//! `cargo xtask test`: every layer of tests that this user may run.

use anyhow::Result;

use crate::{
    build, exec, fuzz, package,
    setup::{self, Group},
    workspace,
};

pub(crate) fn run() -> Result<()> {
    let root = workspace::is_root();
    if root {
        setup::ensure(Group::Tests)?;
        setup::ensure(Group::Guests)?;
    }
    build::xdplb()?;
    exec::run(workspace::cargo().args(["test"]))?;
    fuzz::test()?;
    if !root {
        println!("SKIPPED: every test above that is \"ignored, needs root\"");
        return Ok(());
    }
    package::make()?;
    exec::run(workspace::cargo().args(["test", "--", "--ignored", "--test-threads=1"]))
}
