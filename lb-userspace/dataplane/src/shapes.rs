//! Shapes of pinned maps, compared with those that a program requires: the kernel does not check them.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aya::maps::MapInfo;

use super::{
    active::possible_cpus,
    pins::Pins,
    sizes::{LimitChange, follows_limits},
};

/// Shape that a program requires of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
}

impl Shape {
    /// Returns the shape of a pinned map, or None if there is none.
    pub fn of_pin(pin: &Path) -> Result<Option<Self>> {
        if !pin.exists() {
            return Ok(None);
        }
        let info = MapInfo::from_pin(pin)
            .with_context(|| format!("cannot open the pinned map {}", pin.display()))?;
        Ok(Some(Self {
            map_type: info.map_type().map_or(0, |map_type| map_type as u32),
            key_size: info.key_size(),
            value_size: info.value_size(),
            max_entries: info.max_entries(),
        }))
    }

    /// Returns true if both are the same but for the number of entries.
    pub fn is_alike(self, other: Self) -> bool {
        Self { max_entries: other.max_entries, ..self } == other
    }
}

/// A pinned map that was made for other limits.
#[derive(Clone, Debug)]
pub struct Resized {
    pub name: String,
    pub found: Shape,
    pub expected: Shape,
}

impl Resized {
    /// Returns the pinned maps that were made for other limits.
    ///
    /// # Errors
    ///
    /// Returns an error if a pinned map differs in anything else, as no limit makes it fit.
    pub fn among(pins: &Pins, shapes: &[(String, Shape)]) -> Result<Vec<Self>> {
        let mut resized = Vec::new();
        for (name, expected) in shapes {
            let pin = pins.map(name);
            let Some(found) = Shape::of_pin(&pin)?.filter(|found| found != expected) else {
                continue;
            };
            if !(follows_limits(name) && found.is_alike(*expected)) {
                bail!(
                    "the pinned map {} is of another build ({found:?}, this build needs \
                     {expected:?}): run `xdplb detach` first, which ends all connections",
                    pin.display()
                );
            }
            resized.push(Self { name: name.clone(), found, expected: *expected });
        }
        Ok(resized)
    }

    /// Returns the change of a limit behind the first of these maps whose size is that of one limit.
    pub(super) fn change(resized: &[Self]) -> Result<Option<LimitChange>> {
        let cpus = possible_cpus()?;
        Ok(resized
            .iter()
            .find_map(|one| LimitChange::behind(&one.name, one.found, one.expected, cpus)))
    }
}
