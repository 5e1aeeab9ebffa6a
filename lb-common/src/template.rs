//! Frames that the benchmark's harness sends through the program under test.

use bytemuck::{Pod, Zeroable};

/// Bytes of a benchmark's frame.
pub const FRAME_LENGTH: usize = STEP.unsigned_abs() as usize;

/// Distance in bytes from one frame to the next one behind it.
pub const STEP: i32 = 64;

/// Maximum number of frames in a burst.
pub const BURST: u32 = 32;

/// An IPv4 TCP frame, and the connections that it belongs to in turn.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Template {
    /// In words, so that a copy is eight loads and stores.
    frame: [u64; FRAME_LENGTH / 8],
    /// Number of connections, less one.
    last: u64,
    sent: u64,
    /// Step from one connection's number to the next.
    stride: u64,
    spread: Spread,
    /// Number of frames written at once, so that they are in memory like a network card's when
    /// their turn comes: a CPU stalls on loads of what it has just stored in other pieces.
    pub burst: u32,
    /// Position of the current frame in the burst.
    pub place: i32,
    /// Number of frames behind it.
    pub left: u32,
    reserved: u32,
}

/// Positions in a frame of the bits of its connection's number.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Spread {
    /// In bytes 24 to 31: the source address, and half of the destination.
    third: [Field; 2],
    /// In bytes 32 to 39: the other half, and the ports.
    fourth: [Field; 2],
}

/// A run of adjacent bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Field {
    mask: u64,
    from: u32,
    to: u32,
}

impl Field {
    pub const NONE: Self = Self { mask: 0, from: 0, to: 0 };

    /// Puts `bits` bits of the number, starting at bit `from`, at offset `byte` of the frame.
    #[must_use]
    pub const fn new(from: u32, bits: u32, byte: u32) -> Self {
        Self { mask: (1 << bits) - 1, from, to: byte % 8 * 8 }
    }

    #[inline(always)]
    const fn of(self, number: u64) -> u64 {
        (number >> self.from & self.mask) << self.to
    }
}

impl Spread {
    /// Varies the lower half of the source address, and the source port.
    pub const CLIENTS: Self = Self::new(
        [Field::new(16, 16, byte::SOURCE + 2), Field::NONE],
        [Field::new(0, 16, byte::SOURCE_PORT), Field::NONE],
    );

    #[must_use]
    pub const fn new(third: [Field; 2], fourth: [Field; 2]) -> Self {
        Self { third, fourth }
    }

    /// Varies the lower half of the destination, too, over 2^`bits` services.
    #[must_use]
    pub const fn and_services(self, bits: u32) -> Self {
        let [clients, _] = self.fourth;
        Self { fourth: [clients, Field::new(0, bits, byte::DESTINATION + 2)], ..self }
    }

    /// Returns the bits that a connection's number sets, in both words.
    #[inline(always)]
    fn of(self, number: u64) -> [u64; 2] {
        [self.third, self.fourth].map(|[one, other]| one.of(number) ^ other.of(number))
    }
}

/// Offsets in the frame.
pub mod byte {
    pub const SOURCE: u32 = 26;
    pub const DESTINATION: u32 = 30;
    pub const SOURCE_PORT: u32 = 34;
    pub const DESTINATION_PORT: u32 = 36;
}

impl Template {
    /// Makes frames of 2^`doublings` connections in turn, 2^32 at most, starting with the `sent`th.
    #[must_use]
    pub fn new(frame: [u8; FRAME_LENGTH], spread: Spread, doublings: u32, sent: u64) -> Self {
        /// Odd, so that its multiples visit every connection before any of them twice.
        const STRIDE: u64 = 0x9e37_79b9;
        let (frame, last) = (bytemuck::must_cast(frame), (1 << doublings) - 1);
        let stride = STRIDE;
        Self { frame, last, sent, stride, spread, burst: BURST, place: 0, left: 0, reserved: 0 }
    }

    /// Writes frames one at a time, for programs that shorten them.
    #[must_use]
    pub const fn one_by_one(self) -> Self {
        Self { burst: 1, ..self }
    }

    /// Visits connections in the order of their numbers, instead of one that separates neighbours
    /// in every table.
    #[must_use]
    pub const fn in_order(self) -> Self {
        Self { stride: 1, ..self }
    }

    /// Visits as many connections from this number on, a multiple of their number, instead of from 0.
    #[must_use]
    pub fn starting_at(mut self, first: u64) -> Self {
        let [third, fourth] = self.spread.of(first);
        self.frame[3] ^= third;
        self.frame[4] ^= fourth;
        self
    }

    /// Writes the frame of the next connection.
    #[inline(always)]
    pub fn write_next(&mut self, frame: &mut [u64; FRAME_LENGTH / 8]) {
        let number = self.sent.wrapping_mul(self.stride) & self.last;
        self.sent = self.sent.wrapping_add(1);
        let [third, fourth] = self.spread.of(number);
        // Word by word: LLVM makes a copy a loop over bytes, which stalls later loads of words.
        let differences = [0, 0, 0, third, fourth, 0, 0, 0];
        for ((to, from), difference) in frame.iter_mut().zip(self.frame).zip(differences) {
            *to = from ^ difference;
        }
    }

    /// As [`Self::write_next`].
    #[must_use]
    pub fn next_frame(&mut self) -> [u8; FRAME_LENGTH] {
        let mut frame = [0; FRAME_LENGTH / 8];
        self.write_next(&mut frame);
        bytemuck::must_cast(frame)
    }
}

const _: () = assert!(cfg!(target_endian = "little"));

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{collections::HashSet, vec::Vec};

    use super::{FRAME_LENGTH, Spread, Template};

    fn frames(template: &mut Template, count: usize) -> Vec<[u8; FRAME_LENGTH]> {
        (0..count).map(|_| template.next_frame()).collect()
    }

    #[test]
    fn one_client_sends_the_frame_itself() {
        let frame = [7; FRAME_LENGTH];
        assert_eq!(frames(&mut Template::new(frame, Spread::CLIENTS, 0, 7), 3), [frame; 3]);
    }

    #[test]
    fn clients_differ_in_address_and_port_only() {
        let frame = [7; FRAME_LENGTH];
        let mut template = Template::new(frame, Spread::CLIENTS, 18, 0);
        let sent = frames(&mut template, 1 << 18);
        for other in &sent {
            let changed = (0..FRAME_LENGTH).filter(|index| other[*index] != frame[*index]);
            assert!(changed.into_iter().all(|index| matches!(index, 28 | 29 | 34 | 35)));
        }
        assert_eq!(sent.into_iter().collect::<HashSet<_>>().len(), 1 << 18);
    }

    #[test]
    fn halves_are_all_clients_and_have_none_in_common() {
        let half = |first| Template::new([7; _], Spread::CLIENTS, 17, 0).starting_at(first);
        let halves = [0, 1 << 17].map(|first| frames(&mut half(first), 1 << 17));
        let all = frames(&mut Template::new([7; _], Spread::CLIENTS, 18, 0), 1 << 18);
        let sent: HashSet<_> = halves.into_iter().flatten().collect();
        assert_eq!(sent, all.into_iter().collect());
    }

    #[test]
    fn clients_want_all_services() {
        let frame = [7; FRAME_LENGTH];
        let mut template = Template::new(frame, Spread::CLIENTS.and_services(12), 18, 0);
        let sent = frames(&mut template, 1 << 18);
        let services: HashSet<_> = sent.iter().map(|frame| [frame[32], frame[33]]).collect();
        assert_eq!(services.len(), 1 << 12);
        assert_eq!(sent.into_iter().collect::<HashSet<_>>().len(), 1 << 18);
    }
}
