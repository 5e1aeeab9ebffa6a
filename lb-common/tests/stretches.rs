//! Draws of several CPUs from one rotation.

use std::collections::HashSet;

use lb_common::snat::Stretch;
use proptest::prelude::*;

/// Greater than any stretch.
const LONGEST: u32 = 64;

/// Pairs of sources and ports, so many that they do not limit the stretches.
const MANY: u32 = 1 << 20;

/// A backend's rotation, as the program keeps it.
#[derive(Default)]
struct Rotation {
    tickets: u32,
}

impl Rotation {
    fn draw(&mut self, stretch: &mut Stretch, now: u32, pairs: u32) -> u32 {
        if let Some(draw) = stretch.draw(now, || self.tickets) {
            return draw;
        }
        let (first, length) = (self.tickets, stretch.length(pairs));
        self.tickets += length;
        stretch.begin(first.into(), length)
    }
}

/// Number of draws of a CPU in a row.
#[derive(Clone, Debug)]
struct Burst {
    cpu: usize,
    draws: u32,
    /// Ticks that pass before.
    pause: u32,
}

fn bursts(cpus: usize) -> impl Strategy<Value = Vec<Burst>> {
    let burst = (0..cpus, 1_u32..1_000, 0_u32..3).prop_map(|(cpu, draws, pause)| Burst {
        cpu,
        draws,
        pause,
    });
    prop::collection::vec(burst, 1..50)
}

proptest! {
    #[test]
    fn one_cpu_draws_one_after_another_at_any_rate(bursts in bursts(1)) {
        let (mut rotation, mut stretch, mut now) = (Rotation::default(), Stretch::default(), 0);
        let mut expected = 0;
        for Burst { draws, pause, .. } in bursts {
            now += pause;
            for _ in 0..draws {
                prop_assert_eq!(rotation.draw(&mut stretch, now, MANY), expected);
                expected += 1;
            }
        }
    }

    #[test]
    fn draws_differ_and_keep_up_with_the_rotation(bursts in bursts(4)) {
        let (mut rotation, mut stretches, mut now) = (Rotation::default(), [Stretch::default(); 4], 0);
        let (mut all, mut begin_of_tick) = (HashSet::new(), 0);
        for Burst { cpu, draws, pause } in bursts {
            if pause > 0 {
                (now, begin_of_tick) = (now + pause, rotation.tickets);
            }
            for _ in 0..draws {
                let draw = rotation.draw(&mut stretches[cpu], now, MANY);
                prop_assert!(draw < rotation.tickets && draw + LONGEST > begin_of_tick);
                prop_assert!(all.insert(draw), "{draw} is drawn twice");
            }
        }
        let made = u32::try_from(all.len()).expect("few");
        prop_assert!(rotation.tickets <= made + made / 8 + 4 * LONGEST, "{} for {made}", rotation.tickets);
    }
}

#[test]
fn many_draws_in_a_tick_are_taken_at_once_in_the_next() {
    let (mut rotation, mut stretch) = (Rotation::default(), Stretch::default());
    for (now, draws, length) in [(1, 100, 1), (2, 3_000, 12), (3, 1, 64), (4, 1, 1)] {
        for _ in 0..draws {
            rotation.draw(&mut stretch, now, MANY);
        }
        assert_eq!(stretch.length(MANY), length, "{now}");
    }
}

#[test]
fn no_stretch_is_long_among_few_ports() {
    let (mut rotation, mut stretch) = (Rotation::default(), Stretch::default());
    for now in 1..3 {
        for _ in 0..1_000 {
            rotation.draw(&mut stretch, now, MANY);
        }
    }
    let lengths = [1, 1_024, 4_096, 31_744, 1 << 17].map(|pairs| stretch.length(pairs));
    assert_eq!(lengths, [1, 1, 4, 31, 64]);
}

#[test]
fn draws_are_skipped_in_the_stretch_first() {
    let mut stretch = Stretch::default();
    assert_eq!(stretch.begin(10, 5), 10);
    assert_eq!(stretch.skip(2), 0);
    assert_eq!(stretch.draw(0, || 15), Some(13));
    assert_eq!(stretch.skip(3), 2);
    assert_eq!(stretch.draw(0, || 15), None);
}
