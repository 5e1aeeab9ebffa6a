//! Turns, evenly spread.

/// Places of members, each as often as its count says, and as evenly spread as can be.
///
/// A member's `k`-th of `n` turns falls due at `(2k + 1) / 2n` of the way round; sorting by that is
/// smooth weighted round robin, with the given order deciding ties.
pub(super) fn spread(counts: &[u32]) -> impl Iterator<Item = usize> {
    /// Bits for a place.
    const PLACES: u32 = 24;
    /// Bits for a moment: so fine that of counts below 2^18 any two moments differ.
    const FRACTION: u32 = u64::BITS - PLACES;
    let mut due = Vec::new();
    for (place, count) in (0_u64..).zip(counts) {
        let count = u64::from(*count);
        due.extend((0..count).map(|turn| {
            let moment = ((2 * turn + 1) << FRACTION) / (2 * count);
            moment << PLACES | place
        }));
    }
    due.sort_unstable();
    due.into_iter().map(|turn| (turn & ((1 << PLACES) - 1)) as usize)
}
