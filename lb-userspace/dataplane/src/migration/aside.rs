//! Pins of maps that were made for other limits, or by another version.

use anyhow::{Result, ensure};

use super::{MIGRATING, cause::Cause, fits, is_under_way, replaced::Replaced};
use crate::{
    FLOWS,
    active::ACTIVE,
    layouts::OnOtherMaps,
    pins::{Pins, rename, unpin},
    shapes::Shape,
};

/// Gives other names to the pins of maps that have another shape, so that new ones get theirs.
///
/// # Errors
///
/// Returns an error, and changes nothing, if the operator does not want that, if what the maps hold does
/// not fit, or if an earlier migration must be finished first.
pub(crate) fn set_aside(
    pins: &Pins,
    shapes: &[(String, Shape)],
    on_other_maps: OnOtherMaps,
) -> Result<()> {
    let is_under_way = is_under_way(&pins.map(MIGRATING))?;
    if !is_under_way {
        undo(pins)?;
    }
    let replaced = Replaced::among(pins, shapes)?;
    if replaced.is_empty() {
        return Ok(());
    }
    let cause = Cause::of(&replaced)?;
    let way_back = cause.way_back();
    ensure!(
        !is_under_way,
        "an interrupted migration must be finished first, but {cause}: {way_back} until it is over"
    );
    ensure!(
        on_other_maps == OnOtherMaps::Migrate,
        "{cause}: {way_back}, or start without `--no-migrate` to migrate connections"
    );
    fits::check(pins, &replaced)?;
    let mut names: Vec<&str> = replaced.iter().map(|one| one.name.as_str()).collect();
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

/// Removes the former pins: counters before those of the past, as a repetition needs both of them.
pub(super) fn remove(pins: &Pins) -> Result<()> {
    let mut formers = pins.formers()?;
    formers.sort_by_key(|name| name.starts_with("PAST_"));
    formers.iter().try_for_each(|name| unpin(&pins.former(name)))
}
