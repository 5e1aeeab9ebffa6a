//! Pins of maps that were made for other limits.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use super::{MIGRATING, OnOtherLimits, fits, is_under_way};
use crate::{
    FLOWS,
    active::ACTIVE,
    pins::Pins,
    shapes::{Resized, Shape},
};

/// Gives other names to the pins of maps that were made for other limits, so that new ones get theirs.
///
/// # Errors
///
/// Returns an error, and changes nothing, if the operator does not want that, if what the maps hold does
/// not fit, or if an earlier migration must be finished first.
pub(crate) fn set_aside(
    pins: &Pins,
    shapes: &[(String, Shape)],
    on_other_limits: OnOtherLimits,
) -> Result<()> {
    let is_under_way = is_under_way(&pins.map(MIGRATING))?;
    if !is_under_way {
        undo(pins)?;
    }
    let resized = Resized::among(pins, shapes)?;
    if resized.is_empty() {
        return Ok(());
    }
    let change = Resized::change(&resized)?.context("the pinned maps are of other limits")?;
    let from = change.from;
    ensure!(
        !is_under_way,
        "an interrupted migration must be finished first, but {change}: start with {from}, and \
         change it afterwards"
    );
    if on_other_limits == OnOtherLimits::Refuse {
        bail!(
            "{change}: set it back to {from}, or start without `--no-migrate` to migrate connections"
        );
    }
    fits::check(pins, &resized)?;
    let mut names: Vec<&str> = resized.iter().map(|one| one.name.as_str()).collect();
    if names.contains(&FLOWS) && !names.contains(&ACTIVE) {
        // It counts the table's connections: those that are imported are counted again.
        names.push(ACTIVE);
    }
    names.into_iter().try_for_each(|name| rename(&pins.map(name), &pins.former(name)))
}

/// Takes back what a daemon has done that did not get as far as the first interface.
fn undo(pins: &Pins) -> Result<()> {
    let formers = pins.formers()?;
    formers.iter().try_for_each(|name| rename(&pins.former(name), &pins.map(name)))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to)
        .with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))
}
