//! Differences between two versions of a map.

use imbl::{OrdMap, ordmap::DiffItem};

/// Returns added and changed entries.
pub fn changed<'a, K: Ord + Clone, V: PartialEq + Clone>(
    current: &'a OrdMap<K, V>,
    wanted: &'a OrdMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    current.diff(wanted).filter_map(|item| match item {
        DiffItem::Add(key, value) | DiffItem::Update { new: (key, value), .. } => {
            Some((key, value))
        }
        DiffItem::Remove(..) => None,
    })
}

/// Returns removed entries.
pub fn gone<'a, K: Ord + Clone, V: PartialEq + Clone>(
    current: &'a OrdMap<K, V>,
    wanted: &'a OrdMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    current.diff(wanted).filter_map(|item| match item {
        DiffItem::Remove(key, value) => Some((key, value)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // imbl 6 missed changes at the borders of a tree's nodes, of 64 entries each:
    // <https://github.com/jneem/imbl/issues/160>.
    #[test]
    fn every_change_is_found_in_maps_of_several_nodes() {
        for length in 1..=200_u32 {
            let before: OrdMap<u32, u32> = (0..length).map(|key| (key, 0_u32)).collect();
            for key in 0..length {
                let without = before.without(&key);
                assert_eq!(
                    gone(&before, &without).collect::<Vec<_>>(),
                    [(&key, &0)],
                    "of {length}"
                );
                assert_eq!(changed(&before, &without).count(), 0, "{key} of {length}");
                let with = changed(&without, &before).collect::<Vec<_>>();
                assert_eq!(with, [(&key, &0)], "of {length}");
                let after = before.update(key, 1);
                let updated = changed(&before, &after).collect::<Vec<_>>();
                assert_eq!(updated, [(&key, &1)], "of {length}");
                assert_eq!(gone(&before, &after).count(), 0, "{key} of {length}");
            }
        }
    }
}
