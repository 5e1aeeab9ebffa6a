//! Time that is independent of changes to the wall clock.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Files with the kernel's boot id: the usual one, and the bind mount of the systemd unit, which
/// hides the first.
const BOOT_IDS: [&str; 2] = ["/proc/sys/kernel/random/boot_id", "/usr/lib/xdplb/boot_id"];

/// An ongoing time span, possibly started before this daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    since: Instant,
    /// Time elapsed before `since`.
    before: Duration,
}

impl Span {
    #[must_use]
    pub fn begin() -> Self {
        Self::resume(Duration::ZERO)
    }

    /// Returns a span that has lasted this long.
    #[must_use]
    pub fn resume(before: Duration) -> Self {
        Self { since: Instant::now(), before }
    }

    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        self.before.saturating_add(now.saturating_duration_since(self.since))
    }
}

/// A moment whose age a later daemon can compute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Boot id of the machine; None if it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// Time since the boot.
    #[serde(with = "humantime_serde")]
    uptime: Duration,
    at: Timestamp,
}

impl Moment {
    #[must_use]
    pub fn now() -> Self {
        let boot = boot_id(&BOOT_IDS.map(Path::new));
        let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has this clock");
        Self { boot, uptime: uptime.into(), at: Timestamp::now() }
    }

    /// Returns the time since another moment: by the wall clock only if the machine has rebooted
    /// since, and zero if that moment is in the future.
    #[must_use]
    pub fn since(&self, other: &Self) -> Duration {
        if self.boot.is_some() && self.boot == other.boot {
            return self.uptime.saturating_sub(other.uptime);
        }
        until(self.at, other.at)
    }
}

/// Returns the boot id from the first of these files that has one. An empty file is a mount point
/// without a mount.
fn boot_id(places: &[&Path]) -> Option<String> {
    let ids = places.iter().filter_map(|place| fs::read_to_string(place).ok());
    ids.map(|id| id.trim().to_owned()).find(|id| !id.is_empty())
}

/// Returns the time until a moment of the wall clock, zero if it has passed.
#[must_use]
pub fn until(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn moment(boot: Option<&str>, uptime: u64, at: Timestamp) -> Moment {
        Moment { boot: boot.map(ToOwned::to_owned), uptime: Duration::from_secs(uptime), at }
    }

    #[test]
    fn within_one_boot_the_wall_clock_does_not_matter() {
        let now = Timestamp::now();
        for at in [now, now + DAY, now - DAY] {
            let later = moment(Some("a"), 107, at);
            assert_eq!(later.since(&moment(Some("a"), 100, now)), Duration::from_secs(7));
        }
    }

    #[test]
    fn after_a_reboot_a_future_moment_counts_as_now() {
        let now = Timestamp::now();
        for (boot, before) in [(Some("a"), Some("b")), (None, None), (Some("a"), None)] {
            let later = moment(boot, 5, now);
            assert_eq!(later.since(&moment(before, 100, now - DAY)), DAY);
            assert_eq!(later.since(&moment(before, 100, now + DAY)), Duration::ZERO);
        }
    }

    #[test]
    fn a_mount_point_without_a_mount_has_no_boot_id() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let (missing, file) = (directory.path().join("missing"), directory.path().join("boot_id"));
        for (text, expected) in [("", None), ("\n", None), ("one\n", Some("one".to_owned()))] {
            fs::write(&file, text).expect("written");
            assert_eq!(boot_id(&[&missing, &file]), expected);
        }
        assert!(Moment::now().boot.is_some());
    }

    #[test]
    fn a_resumed_span_continues() {
        let span = Span::resume(DAY);
        let second = Duration::from_secs(1);
        assert_eq!(span.age(span.since + second), DAY + second);
        assert_eq!(span.age(span.since.checked_sub(second).expect("later than the boot")), DAY);
    }
}
