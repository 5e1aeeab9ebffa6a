//! Pinned maps that are replaced by ones of another shape.

use anyhow::{Result, ensure};

use crate::{
    INCIDENTS_SEEN, PAST_INCIDENTS, PAST_VERDICTS, VERDICTS, pins::Pins, shapes::Shape,
    sizes::follows_limits,
};

/// Counters, one for each reason or incident that a version knows.
const COUNTERS: [&str; 4] = [INCIDENTS_SEEN, PAST_INCIDENTS, PAST_VERDICTS, VERDICTS];

/// Maps of what is over in a moment: events on their way, and rate limits.
const MOMENTARY: [&str; 7] =
    ["EVENTS", "EVENTS_TOLD", "RESETS", "ENDED", "ENDING", "ENDS_TOLD", "ENDS_WANTED"];

/// A pinned map that is replaced by one of another shape.
#[derive(Clone, Debug)]
pub struct Replaced {
    pub name: String,
    pub found: Shape,
    pub expected: Shape,
}

impl Replaced {
    /// Returns the pinned maps that have another shape than required.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them cannot be replaced.
    pub fn among(pins: &Pins, shapes: &[(String, Shape)]) -> Result<Vec<Self>> {
        let mut replaced = Vec::new();
        for (name, expected) in shapes {
            let pin = pins.map(name);
            let Some(found) = Shape::of_pin(&pin)?.filter(|found| found != expected) else {
                continue;
            };
            ensure!(
                is_replaceable(name, found, *expected),
                "the pinned map {} is of another build ({found:?}, this build needs {expected:?}): \
                 start that build again, or run `xdplb detach` first, which ends all connections",
                pin.display()
            );
            replaced.push(Self { name: name.clone(), found, expected: *expected });
        }
        Ok(replaced)
    }
}

/// Returns true if what a map holds can be moved to one of the expected shape, or need not be.
fn is_replaceable(map: &str, found: Shape, expected: Shape) -> bool {
    let is_moved = follows_limits(map) || COUNTERS.contains(&map);
    MOMENTARY.contains(&map) || is_moved && found.is_alike(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_must_stay_as_they_are_but_for_those_that_are_over_in_a_moment() {
        let shape =
            |value_size, max_entries| Shape { map_type: 6, key_size: 4, value_size, max_entries };
        let (found, more, other) = (shape(16, 33), shape(16, 34), shape(24, 33));
        for map in ["VERDICTS", "TRAFFIC", "FLOWS", "ACCOUNTS", "EVENTS_TOLD"] {
            assert!(is_replaceable(map, found, more), "{map}");
        }
        for map in ["VERDICTS", "TRAFFIC", "FLOWS", "RINGS"] {
            assert!(!is_replaceable(map, found, other), "{map}");
        }
        assert!(is_replaceable("EVENTS_TOLD", found, other));
        assert!(!is_replaceable("RINGS", found, more));
    }
}
