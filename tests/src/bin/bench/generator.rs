//! Frames made in the kernel, at full speed or at a rate.

use std::{
    fmt::{self, Display, Formatter},
    fs,
    net::SocketAddrV4,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::Array,
    programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode},
};
use lb_common::{template::FRAME_LENGTH, volley::Volley};
use lb_tests::frame::{Flags, Segment};
use lb_userspace::testbed::Namespace;
use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex};

use crate::programs;

/// Frames per batch in the kernel.
const BATCH: u32 = 64;

/// Frames per call at full speed: enough that its set-up is negligible.
const SALVO: u32 = 8_192;

/// Interval of sending at a rate.
const PERIOD: Duration = Duration::from_millis(2);

/// Frames a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    PerSecond(u32),
    FullTilt,
}

impl Display for Pace {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(out, "{rate} SYNs/s"),
            Self::FullTilt => out.write_str("full tilt"),
        }
    }
}

/// Sends a frame from many sources in turn. Works only in the namespace of the interface that the
/// frames leave by, whose other end must have an XDP program or GRO.
pub struct Generator {
    object: Ebpf,
}

impl Generator {
    /// Makes a generator with 2^`doublings` sources: the lower half of the address, and the port.
    pub fn new(frame: [u8; FRAME_LENGTH], doublings: u32, interface: &str) -> Result<Self> {
        let ifindex = if_nametoindex(interface);
        let ifindex = ifindex.with_context(|| format!("there is no interface {interface}"))?;
        let mut object = Ebpf::load(programs::OBJECT)?;
        let generate = programs::load(&mut object, "generate")?;
        // The kernel's XDP dispatcher has a slot for an attached program. An unattached one is
        // added for each run, and removed again: tens of milliseconds. Nobody uses `lo` here.
        generate.attach("lo", XdpMode::Skb).context("cannot attach the generator")?;
        let map = object.map_mut("VOLLEY").context("the object has no map VOLLEY")?;
        Array::<_, Volley>::try_from(map)?.set(0, Volley::new(frame, doublings, ifindex), 0)?;
        Ok(Self { object })
    }

    fn send(&self, frames: u32) -> Result<()> {
        let generate = self.object.program("generate").context("the object has no generator")?;
        let generate: &Xdp = generate.try_into()?;
        let options = TestRunOptions {
            data_in: Some(&[0; FRAME_LENGTH]),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::default()
        };
        generate.test_run(options).context("the kernel does not send frames")?;
        Ok(())
    }

    /// Sends while the condition holds; returns the number of frames.
    pub fn send_while(&self, pace: Pace, goes_on: impl Fn() -> bool) -> Result<u64> {
        let start = Instant::now();
        let (mut sent, mut due_before) = (0, 0);
        while goes_on() {
            let frames = match pace {
                Pace::FullTilt => SALVO,
                Pace::PerSecond(rate) => {
                    sleep(PERIOD);
                    let due = start.elapsed().as_micros() * u128::from(rate) / 1_000_000;
                    let frames = u32::try_from(due - due_before)?;
                    due_before = due;
                    // A stall is not caught up on in one burst.
                    frames.min(SALVO)
                }
            };
            if frames > 0 {
                self.send(frames)?;
                sent += u64::from(frames);
            }
        }
        Ok(sent)
    }
}

/// Makes a frame of a TCP segment without data, from one MAC address to another.
pub fn frame(
    src: SocketAddrV4,
    dst: SocketAddrV4,
    flags: Flags,
    (from, to): ([u8; 6], [u8; 6]),
) -> [u8; FRAME_LENGTH] {
    let segment = Segment { src_mac: from, dst_mac: to, ..Segment::new(src, dst, flags) };
    let mut frame = [0; FRAME_LENGTH];
    let bytes = segment.frame();
    frame[..bytes.len()].copy_from_slice(&bytes);
    frame
}

/// Returns the MAC address of a namespace's interface.
pub fn mac(namespace: &Namespace, interface: &str) -> Result<[u8; 6]> {
    let find = || {
        let mut its = getifaddrs()?.filter(|one| one.interface_name == interface);
        Ok(its.find_map(|one| one.address?.as_link_addr()?.addr()))
    };
    let found: nix::Result<_> = namespace.run(find)?;
    found?.with_context(|| format!("{interface} of {} has no MAC address", namespace.name()))
}

/// Returns the number of packets an interface has received, including those that XDP dropped.
pub fn received(namespace: &Namespace, interface: &str) -> Result<u64> {
    counter(namespace, interface, RECEIVED)
}

/// Returns the number of packets that an interface could not pass to its peer.
pub fn not_taken(namespace: &Namespace, interface: &str) -> Result<u64> {
    counter(namespace, interface, NOT_SENT)
}

/// Fields of an interface's line: `proc_pid_net(5)`.
const RECEIVED: usize = 1;
const NOT_SENT: usize = 11;

fn counter(namespace: &Namespace, interface: &str, place: usize) -> Result<u64> {
    // /proc/net is that of the process's first thread.
    let table = namespace.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
    in_line(&table, interface, place).with_context(|| format!("{interface} counts nothing"))
}

fn in_line(table: &str, interface: &str, place: usize) -> Option<u64> {
    let lines = table.lines().filter_map(|line| line.split_once(':'));
    let (_, counters) = lines.into_iter().find(|(name, _)| name.trim() == interface)?;
    counters.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_interface_has_a_line() {
        let table =
            "Inter-|   Receive  \n face |bytes    packets\n  eth0: 70 2 3 4\neth01: 9 8 7\n";
        assert_eq!(super::in_line(table, "eth0", 1), Some(2));
        assert_eq!(super::in_line(table, "eth1", 1), None);
    }
}
