//! Port range of this host's own outgoing connections, those of health checks included.

use std::{fs, ops::RangeInclusive};

use anyhow::{Context as _, Result};

const RANGE: &str = "ip_local_port_range";
const RESERVED: &str = "ip_local_reserved_ports";

/// Directories of the kernel's settings: the usual one, and the bind mount of the systemd unit,
/// which hides the first.
const PLACES: [&str; 2] = ["/proc/sys/net/ipv4", "/usr/lib/xdplb/ipv4"];

/// Default range of Linux.
const USUAL: RangeInclusive<u16> = 32_768..=60_999;

/// Lowest port that is not a well-known port.
const FIRST: u16 = 1_024;

/// Minimum size of a free range that is suggested.
const WORTHWHILE: usize = 1_024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPorts {
    range: RangeInclusive<u16>,
    /// Reserved ports within the range.
    reserved: Vec<RangeInclusive<u16>>,
}

/// A conflict of source ports with the kernel's range, and its fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    pub message: String,
    /// All ways to fix it.
    pub fix: String,
    /// The command that reserves the ports.
    pub command: String,
}

impl Default for LocalPorts {
    /// Those of Linux, unless somebody changes them.
    fn default() -> Self {
        Self { range: USUAL, reserved: Vec::new() }
    }
}

impl LocalPorts {
    /// Reads the port range of the calling thread's network namespace.
    pub fn read() -> Result<Self> {
        Self::read_from(&PLACES)
    }

    /// Reads the settings from the first of these directories that has them.
    fn read_from(places: &[&str]) -> Result<Self> {
        let read = |key| {
            let mut found = places.iter().map(|place| fs::read_to_string(format!("{place}/{key}")));
            found.find_map(Result::ok).with_context(|| format!("cannot read net.ipv4.{key}"))
        };
        let (range, reserved) = (read(RANGE)?, read(RESERVED)?);
        Self::parse(&range, &reserved)
            .with_context(|| format!("net.ipv4.{RANGE} is {range:?}, {RESERVED} {reserved:?}"))
    }

    fn parse(range: &str, reserved: &str) -> Option<Self> {
        let mut ends = range.split_whitespace().map(str::parse);
        let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
        let region = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some(first.parse().ok()?..=last.parse().ok()?)
        };
        let reserved = reserved.trim().split(',').filter(|text| !text.is_empty()).map(region);
        Some(Self { range: first..=last, reserved: reserved.collect::<Option<_>>()? })
    }

    /// Returns the conflict if the kernel may use some of these source ports for the host's own
    /// connections.
    #[must_use]
    pub fn clash(&self, ports: &RangeInclusive<u16>) -> Option<Clash> {
        let is_given = |port: &u16| {
            self.range.contains(port) && !self.reserved.iter().any(|one| one.contains(port))
        };
        let mut shared = ports.clone().filter(is_given);
        let first = shared.next()?;
        let last = shared.next_back().unwrap_or(first);
        let message = format!(
            "`snat_ports` {} shares {} with net.ipv4.{RANGE}, the source ports of this host's own \
             connections: health checks from these ports would fail",
            text(ports),
            text(&(first..=last)),
        );
        let command = self.reservation(ports);
        Some(Clash { message, fix: self.fix(ports, &command), command })
    }

    fn reservation(&self, ports: &RangeInclusive<u16>) -> String {
        let mut reserved: Vec<_> = self.reserved.iter().map(text).collect();
        reserved.push(text(ports));
        format!("sysctl -w net.ipv4.{RESERVED}={}", reserved.join(","))
    }

    fn fix(&self, ports: &RangeInclusive<u16>, reservation: &str) -> String {
        let mut fixes = vec![format!("reserve them: {reservation}")];
        if *ports.end() < *USUAL.start() || *ports.start() > *USUAL.end() {
            let (first, last) = (USUAL.start(), USUAL.end());
            fixes.push(format!(
                "or move the kernel's range: sysctl -w net.ipv4.{RANGE}=\"{first} {last}\""
            ));
        }
        if let Some(other) = self.alternative() {
            fixes.push(format!("or set snat_ports = \"{}\"", text(&other)));
        }
        format!(
            "{} (to make a sysctl permanent, add it to a file in /etc/sysctl.d)",
            fixes.join("; ")
        )
    }

    /// Returns the larger of the ranges below and above the kernel's, if it is large enough.
    fn alternative(&self) -> Option<RangeInclusive<u16>> {
        let below = FIRST..=self.range.start().saturating_sub(1);
        let above = self.range.end().checked_add(1).map(|first| first..=u16::MAX);
        let most = [Some(below), above].into_iter().flatten().max_by_key(ExactSizeIterator::len)?;
        (most.len() >= WORTHWHILE).then_some(most)
    }
}

/// Formats a range as in the configuration file.
fn text(ports: &RangeInclusive<u16>) -> String {
    format!("{}-{}", ports.start(), ports.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clash(range: &str, reserved: &str, ports: RangeInclusive<u16>) -> Option<Clash> {
        LocalPorts::parse(range, reserved).expect("sysctls").clash(&ports)
    }

    #[test]
    fn only_ports_that_the_kernel_gives_away_clash() {
        let cases = [
            ("32768\t60999\n", "\n", 1_024..=32_767, None),
            ("32768\t60999\n", "\n", 61_000..=65_535, None),
            ("32768\t60999\n", "\n", 1_024..=32_768, Some("shares 32768-32768 with")),
            ("1024\t65535\n", "\n", 1_024..=32_767, Some("shares 1024-32767 with")),
            ("1024\t65535\n", "1024-32767\n", 1_024..=32_767, None),
            ("1024\t65535\n", "80,1024-32766\n", 1_024..=32_767, Some("shares 32767-32767 with")),
            ("15000\t61000\n", "20000-65535\n", 10_000..=30_000, Some("shares 15000-19999 with")),
        ];
        for (range, reserved, ports, expected) in cases {
            let found = clash(range, reserved, ports.clone()).map(|clash| clash.message);
            match expected {
                None => assert_eq!(found, None, "{range} {reserved} {ports:?}"),
                Some(word) => {
                    assert!(found.as_ref().is_some_and(|said| said.contains(word)), "{found:?}");
                }
            }
        }
    }

    #[test]
    fn reserved_ports_stay_reserved() {
        let fix =
            clash("15000\t61000\n", "15000,17000-17010\n", 1_024..=32_767).expect("a clash").fix;
        for part in [
            "ip_local_reserved_ports=15000-15000,17000-17010,1024-32767;",
            "ip_local_port_range=\"32768 60999\";",
            "snat_ports = \"1024-14999\"",
        ] {
            assert!(fix.contains(part), "{part} is not in {fix}");
        }
        let fix = clash("1024\t65535\n", "\n", 40_000..=50_000).expect("a clash").fix;
        assert!(fix.contains("ip_local_reserved_ports=40000-50000 "), "{fix}");
        assert!(!fix.contains("or "), "{fix}");
    }

    #[test]
    fn this_host_has_such_ports() {
        let ports = LocalPorts::read().expect("sysctls");
        let elsewhere = LocalPorts::read_from(&["/nonexistent", PLACES[0]]).expect("sysctls");
        assert_eq!(ports, elsewhere);
        assert!(LocalPorts::read_from(&["/nonexistent"]).is_err());
    }
}
