//! What the benchmark's harness sends through the program that it measures.

use bytemuck::{Pod, Zeroable};

/// Bytes of a benchmark's frame.
pub const FRAME_LENGTH: usize = 64;

/// Where the words of a frame begin: with the Ethernet header's 14 bytes no field of any header then
/// lies in two of them. A load of bytes that two stores have written waits until both have left the
/// store buffer, and with them all that came before: the memory's latency would show in full, as it
/// does not where a card has written the frame.
const START: usize = 2;

const WORDS: usize = (FRAME_LENGTH - START) / 8;
const END: usize = FRAME_LENGTH - START - WORDS * 8;

/// An IPv4 TCP frame, and the clients that it comes from in turn.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Template {
    /// As they stand on the wire, so that a copy is a few loads and stores.
    words: [[u8; 8]; WORDS],
    start: [u8; START],
    end: [u8; END],
    /// How many clients there are, less one.
    last_client: u64,
    sent: u64,
}

impl Template {
    /// A frame from 2^`doublings` clients in turn, 2^32 at most, beginning with the `sent`th.
    #[must_use]
    pub fn new(frame: [u8; FRAME_LENGTH], doublings: u32, sent: u64) -> Self {
        let mut template = Self { last_client: (1 << doublings) - 1, sent, ..Self::zeroed() };
        let (start, rest) = frame.split_at(START);
        let (words, end) = rest.as_chunks();
        template.start.copy_from_slice(start);
        template.words.copy_from_slice(words);
        template.end.copy_from_slice(end);
        template
    }

    /// Writes the frame of the next client. Neighbours in time are not neighbours in any table.
    #[inline(always)]
    pub fn write_next(&mut self, frame: &mut [u8; FRAME_LENGTH]) {
        /// Odd, so that its multiples meet every client before any of them twice.
        const STRIDE: u64 = 0x9e37_79b9;
        let client = self.sent.wrapping_mul(STRIDE) & self.last_client;
        self.sent = self.sent.wrapping_add(1);
        // The lower half of the source address, from byte 28 on, and the source port, from 34 on.
        let difference = [0, 0, 0, (client >> 16) << 16, client & 0xffff, 0, 0];
        let (start, rest) = frame.split_at_mut(START);
        let (words, end) = rest.as_chunks_mut();
        start.copy_from_slice(&self.start);
        end.copy_from_slice(&self.end);
        for ((to, from), difference) in words.iter_mut().zip(self.words).zip(difference) {
            *to = (u64::from_ne_bytes(from) ^ difference).to_ne_bytes();
        }
    }

    /// As [`Self::write_next`].
    #[must_use]
    pub fn next_frame(&mut self) -> [u8; FRAME_LENGTH] {
        let mut frame = [0; FRAME_LENGTH];
        self.write_next(&mut frame);
        frame
    }
}

const _: () = assert!(cfg!(target_endian = "little"));

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{collections::HashSet, vec::Vec};

    use super::{FRAME_LENGTH, Template};

    fn frames(template: &mut Template, count: usize) -> Vec<[u8; FRAME_LENGTH]> {
        (0..count).map(|_| template.next_frame()).collect()
    }

    #[test]
    fn one_client_sends_the_frame_itself() {
        let frame = [7; FRAME_LENGTH];
        assert_eq!(frames(&mut Template::new(frame, 0, 7), 3), [frame; 3]);
    }

    #[test]
    fn clients_differ_in_address_and_port_only() {
        let frame = [7; FRAME_LENGTH];
        let sent = frames(&mut Template::new(frame, 18, 0), 1 << 18);
        for other in &sent {
            let changed = (0..FRAME_LENGTH).filter(|index| other[*index] != frame[*index]);
            assert!(changed.into_iter().all(|index| matches!(index, 28 | 29 | 34 | 35)));
        }
        assert_eq!(sent.into_iter().collect::<HashSet<_>>().len(), 1 << 18);
    }
}
