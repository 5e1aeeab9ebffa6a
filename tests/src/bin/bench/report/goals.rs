//! Goals of xdplb: a cost relative to a floor of the same run, so that they hold for any machine.

/// A goal for the net cost of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    /// At most this many times what rewriting by the kernel's hash map costs.
    TimesHash(f64),
    /// At most this much more than one line that is waited for, in nanoseconds.
    OverOneLine(f64),
    /// At most this much more than two lines that are read at the same time, in nanoseconds.
    OverTwoLines(f64),
    /// At most this much, in nanoseconds.
    Within(f64),
}

impl Goal {
    /// Returns the goal of a path with this many connections.
    pub(super) fn of(path: &str, flows: u64) -> Option<Self> {
        match (path, flows.ilog2()) {
            ("known", ..=10) => Some(Self::TimesHash(0.75)),
            ("known", 17) => Some(Self::OverOneLine(40.0)),
            ("known", 20) => Some(Self::OverOneLine(45.0)),
            ("known", 23) => Some(Self::TimesHash(0.85)),
            ("new", ..=10) => Some(Self::TimesHash(4.5)),
            ("new", 17 | 20) => Some(Self::OverTwoLines(300.0)),
            ("not_ours", _) => Some(Self::Within(8.0)),
            _ => None,
        }
    }

    /// Returns the name of the floor that it is relative to.
    pub(super) const fn floor(self) -> &'static str {
        match self {
            // An absolute one needs none; this one is always measured.
            Self::TimesHash(_) | Self::Within(_) => "hash_nat",
            Self::OverOneLine(_) => "one_line_waited",
            Self::OverTwoLines(_) => "two_lines",
        }
    }

    /// Returns the greatest cost that meets the goal, given that of the floor.
    pub(super) fn bound(self, floor: f64) -> f64 {
        match self {
            Self::TimesHash(times) => floor * times,
            Self::OverOneLine(more) | Self::OverTwoLines(more) => floor + more,
            Self::Within(most) => most,
        }
    }
}

/// Returns the least speed-up by a second CPU that meets the goal.
pub(super) fn of_two_cpus(path: &str) -> Option<f64> {
    match path {
        "known" => Some(1.95),
        "new" => Some(1.4),
        "new_per_cpu" => Some(1.75),
        _ => None,
    }
}

/// Bytes of the flow table for each connection that it is made for.
pub(super) const BYTES_PER_CONNECTION: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::Goal;

    #[test]
    fn goals_are_relative_to_the_floors_of_the_run() {
        for (path, flows, floor, bound) in [
            ("known", 1, "hash_nat", 75.0),
            ("known", 1 << 10, "hash_nat", 75.0),
            ("known", 1 << 17, "one_line_waited", 140.0),
            ("known", 1 << 20, "one_line_waited", 145.0),
            ("known", 1 << 23, "hash_nat", 85.0),
            ("new", 1, "hash_nat", 450.0),
            ("new", 1 << 20, "two_lines", 400.0),
        ] {
            let goal = Goal::of(path, flows).expect(path);
            assert_eq!(goal.floor(), floor, "{path} {flows}");
            let found = goal.bound(100.0);
            assert!((found - bound).abs() < 1e-9, "{path} {flows}: {found}");
        }
        assert!((Goal::of("not_ours", 1).unwrap().bound(100.0) - 8.0).abs() < 1e-9);
        assert_eq!(Goal::of("reply", 1), None);
    }
}
