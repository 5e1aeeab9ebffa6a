//! Even distribution of turns.

/// Returns the indices of members, each as often as its count, distributed as evenly as possible.
///
/// A member's `k`-th of `n` turns is due at `(2k + 1) / 2n` of the cycle; sorting by that is smooth
/// weighted round robin, with ties decided by the given order.
pub(super) fn spread(counts: &[u32]) -> impl Iterator<Item = usize> {
    /// Bits for an index.
    const PLACES: u32 = 24;
    /// Bits for a due time: with counts below 2^18, distinct times stay distinct.
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
