//! Shapes of maps: the kernel does not compare pinned ones with those that a program requires.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;

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
