//! Builds rings: whose turn it is, in which order.

/// Rings longer than this are scaled down, which keeps weights exact to well under 1 %.
pub const LONGEST: u64 = 65_537;

/// The ring of these `(backend id, weight)` pairs: each id as often as its weight says, in the
/// shortest ring that keeps the ratio, and as evenly spread as can be.
///
/// An id's `k`-th of `n` turns falls due at `(2k + 1) / 2n` of the way round; sorting by that is
/// smooth weighted round robin, with the given order deciding ties.
#[must_use]
pub fn round_robin(members: &[(u32, u16)]) -> Vec<u32> {
    let turns = turns(members);
    let mut due: Vec<(u64, u64, usize)> = Vec::new();
    for (place, count) in turns.iter().enumerate() {
        due.extend((0..*count).map(|turn| (2 * turn + 1, 2 * count, place)));
    }
    due.sort_by(|(a, of_a, first), (b, of_b, second)| {
        (a * of_b).cmp(&(b * of_a)).then(first.cmp(second))
    });
    due.into_iter().map(|(_, _, place)| members[place].0).collect()
}

/// How often each member stands in the ring.
fn turns(members: &[(u32, u16)]) -> Vec<u64> {
    let weights = || members.iter().map(|(_, weight)| u64::from(*weight));
    let divisor = weights().fold(0, gcd).max(1);
    let length = weights().sum::<u64>() / divisor;
    if length <= LONGEST {
        return weights().map(|weight| weight / divisor).collect();
    }
    let total = length * divisor;
    weights().map(|weight| ((weight * LONGEST + total / 2) / total).max(1)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(ring: &[u32], id: u32) -> usize {
        ring.iter().filter(|slot| **slot == id).count()
    }

    #[test]
    fn nobody_makes_an_empty_ring() {
        assert!(round_robin(&[]).is_empty());
    }

    #[test]
    fn equals_take_turns_in_order() {
        assert_eq!(round_robin(&[(7, 3), (8, 3), (9, 3)]), [7, 8, 9]);
    }

    #[test]
    fn the_heavy_one_is_spread_out() {
        assert_eq!(round_robin(&[(1, 5), (2, 1), (3, 1)]), [1, 1, 2, 1, 3, 1, 1]);
    }

    proptest! {
        #[test]
        fn weights_are_exact_or_within_one_percent(weights in prop::collection::vec(1_u16.., 1..20)) {
            let members: Vec<_> = (1..).zip(weights.iter().copied()).collect();
            let ring = round_robin(&members);
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (id, weight) in members {
                let wanted = f64::from(weight) / total;
                #[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand")]
                let got = share(&ring, id) as f64 / ring.len() as f64;
                let slot = 1.0 / 65_537.0;
                prop_assert!((got - wanted).abs() <= wanted * 0.01 + slot, "{got} for {wanted}");
            }
        }

        #[test]
        fn no_prefix_strays_from_the_ratio(weights in prop::collection::vec(1_u16..50, 1..8)) {
            let members: Vec<_> = (1..).zip(weights.iter().copied()).collect();
            let ring = round_robin(&members);
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (id, weight) in members {
                for length in 1..=ring.len() {
                    #[expect(clippy::cast_precision_loss, reason = "small counts")]
                    let (got, length) = (share(&ring[..length], id) as f64, length as f64);
                    #[expect(clippy::cast_precision_loss, reason = "small counts")]
                    let bound = 1.0 + weights.len() as f64 / 2.0;
                    prop_assert!((got - f64::from(weight) / total * length).abs() <= bound);
                }
            }
        }
    }
}
