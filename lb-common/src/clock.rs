//! The kernel's coarse monotonic clock without a helper call: the number of timer interrupts
//! (jiffies) advances with it, and the verifier turns reading them into one load.

use bytemuck::{Pod, Zeroable};

/// Both clocks at one moment.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Reading {
    /// Result of `bpf_jiffies64`.
    pub jiffies: u64,
    /// Result of `bpf_ktime_get_coarse_ns`.
    pub nanos: u64,
}

/// Conversion of jiffies to nanoseconds of the coarse monotonic clock, valid until reboot: the
/// kernel counts jiffies by that clock (`tick_do_update_jiffies64`); neither advances in suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    pub nanos_per_jiffy: u64,
    /// Nanoseconds at jiffy 0, which may be before boot: modulo 2^64.
    pub offset: u64,
}

impl Scale {
    #[must_use]
    pub const fn new(nanos_per_jiffy: u64, Reading { jiffies, nanos }: Reading) -> Self {
        let offset = nanos.wrapping_sub(jiffies.wrapping_mul(nanos_per_jiffy));
        Self { nanos_per_jiffy, offset }
    }

    #[must_use]
    #[inline(always)]
    pub const fn nanos(self, jiffies: u64) -> u64 {
        jiffies.wrapping_mul(self.nanos_per_jiffy).wrapping_add(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::{Reading, Scale};

    /// Value of jiffies at boot: five minutes before an unsigned int overflows.
    const AT_BOOT: u64 = (1 << 32) - 300 * 250;

    #[test]
    fn jiffies_are_nanoseconds_of_the_other_clock() {
        let reading = Reading { jiffies: AT_BOOT + 500, nanos: 2_000_000_000 };
        let scale = Scale::new(4_000_000, reading);
        assert_eq!(scale.nanos(AT_BOOT), 0);
        assert_eq!(scale.nanos(AT_BOOT + 500), 2_000_000_000);
        let ten_years = 10 * 365 * 86_400;
        assert_eq!(scale.nanos(AT_BOOT + ten_years * 250), ten_years * 1_000_000_000);
    }
}
