//! Source addresses and ports of full NAT.

use bytemuck::{Pod, Zeroable};

use crate::limits::SNAT_SOURCES;

/// One source address and the ports that may be drawn from it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Source {
    /// IPv4 as IPv4-mapped.
    pub address: [u8; 16],
    pub first_port: u16,
    /// Number of ports, from the first on; never 0 in a source that a backend refers to.
    pub ports: u16,
}

const _: () = assert!(size_of::<Source>() == 20);

/// Number of bits of a draw's number: enough for all pairs of source and port.
pub const DRAW_BITS: u32 = 28;

const _: () = assert!(SNAT_SOURCES as u64 * u16::MAX as u64 <= 1 << DRAW_BITS);

/// Returns the number of a draw, of the ticket that it took.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "draws are in rotation")]
pub const fn draw_of_ticket(ticket: u64) -> u32 {
    ticket as u32 & ((1 << DRAW_BITS) - 1)
}

/// Returns the indices of source and port of a draw: one address after the other, then
/// the next port, so that each pair of address and port is unused for as long as possible.
///
/// `source_count` and `ports` must not be 0.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "less than its modulus")]
pub const fn drawn(draw: u32, source_count: u32, ports: u16) -> (u32, u16) {
    (draw % source_count, (draw / source_count % ports as u32) as u16)
}

/// Draws that a CPU has taken of a backend's rotation at once. All CPUs go through one rotation, so that a
/// port always rests for as long as possible; but only who begins a stretch writes to its count of draws,
/// which others write to as well.
///
/// A CPU takes one draw at a time unless it made many in the last tick in which it drew, so that a stretch is never
/// much older than the draws of others. One that was not used up in its tick goes on only if nobody else has
/// drawn since.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Stretch {
    /// The next ticket, and how many are left.
    next: u32,
    left: u16,
    /// Number of tickets to take at once.
    at_once: u16,
    /// Time of the last draw, in [`ticks`](crate::flow::ticks).
    tick: u32,
    /// Number of draws in that tick.
    made: u32,
}

const _: () = assert!(size_of::<Stretch>() == 16);

impl Stretch {
    /// Share of a tick's draws that a CPU takes at once in the next one: at most that many of them are
    /// left over.
    const SHARE: u32 = 8;

    /// Share of the rotation that a CPU may take at once: the CPUs together must leave nearly all of it to
    /// ports that rest.
    const SHARE_OF_PAIRS: u32 = 1024;

    /// Maximum number of draws taken at once. More would save next to nothing.
    const LONGEST: u32 = 64;

    /// Returns the next draw of the stretch, unless it has ended. `drawn` returns the number of tickets taken
    /// by all CPUs.
    #[must_use]
    #[inline(always)]
    pub fn draw(&mut self, now: u32, drawn: impl FnOnce() -> u32) -> Option<u32> {
        if self.tick != now {
            self.begin_tick(now, drawn);
        }
        self.made = self.made.wrapping_add(1);
        self.left = self.left.checked_sub(1)?;
        let draw = draw_of_ticket(self.next.into());
        self.next = self.next.wrapping_add(1);
        Some(draw)
    }

    #[inline(always)]
    fn begin_tick(&mut self, now: u32, drawn: impl FnOnce() -> u32) {
        self.at_once = (self.made / Self::SHARE).min(Self::LONGEST) as u16;
        (self.tick, self.made) = (now, 0);
        if self.left > 0 && drawn() != self.next.wrapping_add(self.left.into()) {
            self.left = 0;
        }
    }

    /// Returns the number of tickets to take for the next stretch, in a rotation of this many pairs of source
    /// and port.
    #[must_use]
    #[inline(always)]
    pub fn length(&self, pairs: u32) -> u32 {
        u32::from(self.at_once).min(pairs / Self::SHARE_OF_PAIRS).max(1)
    }

    /// Begins a stretch with the first of this many tickets, and returns its draw.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "draws are in rotation")]
    pub const fn begin(&mut self, first: u64, length: u32) -> u32 {
        self.next = (first as u32).wrapping_add(1);
        self.left = length.saturating_sub(1) as u16;
        draw_of_ticket(first)
    }

    /// Skips this many draws of the stretch. Returns the number of those that it does not have.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "at most what is left")]
    pub fn skip(&mut self, draws: u32) -> u32 {
        let skipped = draws.min(self.left.into());
        self.next = self.next.wrapping_add(skipped);
        self.left -= skipped as u16;
        draws - skipped
    }
}

/// Number of tries among the ports that are drawn next anyway, so that a flood of handshakes meets
/// its oldest first, even if some ports are unavailable.
const NEIGHBOURS: u32 = 3;

/// Number of parts of the rotation for later tries: ports that are taken tend to be in runs.
const PARTS: u32 = 8;

/// Number of source ports tried for a connection.
pub const TRIES: u32 = NEIGHBOURS + PARTS - 1;

/// Returns the distance from a connection's own draw to its `attempt`-th try, in a rotation of this
/// many pairs of source and port. The [`TRIES`] differ, if there are enough pairs.
#[must_use]
#[inline(always)]
const fn ahead(attempt: u32, pairs: u32) -> u32 {
    let part = pairs / PARTS;
    if attempt < NEIGHBOURS || part < NEIGHBOURS {
        return attempt;
    }
    part * (attempt - NEIGHBOURS + 1)
}

/// Returns the number of the draw of a connection's `attempt`-th try, if its own is this one.
#[must_use]
#[inline(always)]
pub const fn draw_of(own: u32, attempt: u32, pairs: u32) -> u32 {
    own.wrapping_add(ahead(attempt, pairs)) & ((1 << DRAW_BITS) - 1)
}

/// Returns the number of draws that a connection has used beyond its own, if this try got a port.
#[must_use]
#[inline(always)]
pub const fn neighbours_passed(attempt: u32) -> u32 {
    if attempt < NEIGHBOURS { attempt } else { 0 }
}
