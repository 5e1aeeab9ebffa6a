//! Pins as other versions leave them.

use std::{fs, path::Path};

use aya::{
    Pod,
    maps::{Array, Map, MapData, PerCpuArray},
};
use lb_common::{LAYOUT, stats::Count};
use lb_testbed::Testbed;

use super::pins;

/// The layout that a daemon takes over.
pub const PREVIOUS: u32 = LAYOUT - 1;

/// Map that this version does not have.
pub const GONE: &str = "GONE";

/// Gives the pins of a stopped daemon to another layout.
pub fn rename(testbed: &Testbed, from: u32, to: u32) {
    fs::rename(pins(testbed, from), pins(testbed, to)).expect("renamed");
}

/// Makes the pins of a stopped daemon ones of the previous layout, with other counters, another form of rate
/// limits, and a map that is gone.
pub fn leave(testbed: &Testbed) {
    let own = pins(testbed, LAYOUT);
    leave_fewer_counters(testbed);
    let limits = own.join("EVENTS_TOLD");
    fs::remove_file(&limits).expect("pinned");
    PerCpuArray::<_, [u64; 9]>::create(1, 0).expect("created").pin(limits).expect("pinned");
    Array::<_, u64>::create(1, 0).expect("created").pin(own.join(GONE)).expect("pinned");
    rename(testbed, LAYOUT, PREVIOUS);
}

/// Leaves the maps of counters as a version does that knows a reason and an incident less.
pub fn leave_fewer_counters(testbed: &Testbed) {
    let own = pins(testbed, LAYOUT);
    shorten_per_cpu::<Count>(&own.join("VERDICTS"));
    shorten_per_cpu::<u64>(&own.join("INCIDENTS_SEEN"));
    shorten::<Count>(&own.join("PAST_VERDICTS"));
    shorten::<u64>(&own.join("PAST_INCIDENTS"));
}

/// Removes the maps that layout 9 did not have.
pub fn forget_past(testbed: &Testbed) {
    for name in ["PAST_VERDICTS", "PAST_INCIDENTS"] {
        fs::remove_file(pins(testbed, LAYOUT).join(name)).expect("pinned");
    }
}

/// Replaces a map by one that lacks the last of its values.
fn shorten_per_cpu<V: Pod>(pin: &Path) {
    let map = Map::PerCpuArray(MapData::from_pin(pin).expect("pinned"));
    let whole: PerCpuArray<_, V> = map.try_into().expect("its shape");
    let mut short = PerCpuArray::<_, V>::create(whole.len() - 1, 0).expect("created");
    for place in 0..short.len() {
        short.set(place, whole.get(&place, 0).expect("read"), 0).expect("written");
    }
    fs::remove_file(pin).expect("pinned");
    short.pin(pin).expect("pinned");
}

/// As [`shorten_per_cpu`], if there is one.
fn shorten<V: Pod>(pin: &Path) {
    let Ok(map) = MapData::from_pin(pin) else { return };
    let whole: Array<_, V> = Map::Array(map).try_into().expect("its shape");
    let mut short = Array::<_, V>::create(whole.len() - 1, 0).expect("created");
    for place in 0..short.len() {
        short.set(place, whole.get(&place, 0).expect("read"), 0).expect("written");
    }
    fs::remove_file(pin).expect("pinned");
    short.pin(pin).expect("pinned");
}
